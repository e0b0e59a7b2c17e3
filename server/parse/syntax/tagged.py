"""Calls as JSON objects between tags: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`."""

from collections.abc import Sequence
from typing import Final

from server.messages import Tool
from server.parse.syntax.rules import Rules, parameters_schema, quoted
from server.parse.syntax.syntax import CallSyntax

BLANKS: Final = r"/( |\n[ \t]{0,8}){0,2}/"
"""White space between the parts of a call, in measure."""


def tagged_json(opening: str, closing: str, *, anywhere: bool = False) -> CallSyntax:
    """One object between each pair of tags."""

    def write(tools: Sequence[Tool], many: bool) -> Rules:
        rules = Rules()
        rules.add("BLANKS", BLANKS)
        tagged_calls(rules, (opening, closing), f"{call_objects(rules, tools)} BLANKS", many=many)
        return rules

    return CallSyntax((opening,), write, anywhere=anywhere)


def tagged_calls(rules: Rules, tags: tuple[str, str], body: str, *, many: bool) -> None:
    """Add the rules `calls` and `rest` for one `body` (Lark, with the white space at its end) between each pair of
    tags. `BLANKS` must be there."""
    opening, closing = map(rules.mark, tags)
    rules.add("calls", "call (BLANKS call)*" if many else "call")
    rules.add("call", f"{opening} rest")
    rules.add("rest", f"BLANKS {body} {closing}")


def call_objects(
    rules: Rules, tools: Sequence[Tool], *, name: str = "name", arguments: str = "arguments", before: str = ""
) -> str:
    """The name of the rule for a JSON object that calls one of the tools. `before`: its members in front, as Lark."""
    rules.add("object", *(f"object_{index}" for index in range(len(tools))))
    rules.add("COLON", r"/[ ]?:[ ]?/")
    rules.add("COMMA", r"/,( |\n[ \t]{0,8})?/")
    for index, tool in enumerate(tools):
        front = f"{before} COMMA " if before else ""
        named = f"{key(name)} COLON {key(tool.name)} COMMA {call_members(rules, tool, arguments=arguments)}"
        rules.add(f"object_{index}", f'"{{" BLANKS {front}{named} BLANKS "}}"')
    return "object"


def call_members(rules: Rules, tool: Tool, *, arguments: str) -> str:
    """The member that holds the arguments, as Lark."""
    return f"{key(arguments)} COLON {rules.json(parameters_schema(tool))}"


def key(text: str) -> str:
    """A JSON string as a Lark literal."""
    return quoted(quoted(text))


QWEN3 = tagged_json("<tool_call>", "</tool_call>", anywhere=True)
