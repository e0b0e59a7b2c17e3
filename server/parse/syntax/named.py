"""Calls as a name, a mark and JSON arguments: `[TOOL_CALLS]get_weather[ARGS]{…}`."""

from collections.abc import Sequence

from server.messages import Tool
from server.parse.families import cogito, sections
from server.parse.syntax.rules import Rules, parameters_schema, quoted
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import BLANKS


def named(opening: str, between: str) -> CallSyntax:
    """Each call begins with `opening` and ends with its arguments."""

    def write(tools: Sequence[Tool], many: bool) -> Rules:
        rules = Rules()
        rules.add("calls", "call+" if many else "call")
        rules.add("call", f"{rules.mark(opening)} rest")
        rules.add("rest", *(f"{quoted(tool.name)} {rules.mark(between)} {_arguments(rules, tool)}" for tool in tools))
        return rules

    return CallSyntax((opening,), write)


def sectioned(before: str = "", fence: tuple[str, str] = ("", "")) -> CallSyntax:
    """Between DeepSeek's marks. `before` stands in front of the separator, the arguments within `fence`."""

    def write(tools: Sequence[Tool], many: bool) -> Rules:
        rules = Rules()
        begin, end = map(rules.mark, sections.CALLS)
        first, last = map(rules.mark, sections.CALL)
        separator = rules.mark(sections.SEPARATOR)
        rules.add("BLANKS", BLANKS)
        rules.add("calls", f"{begin} rest")
        rules.add("rest", f"BLANKS call {'(BLANKS call)* ' if many else ''}BLANKS {end}")
        rules.add("call", f"{first} body {last}")
        rules.add("body", *(_body(rules, tool, separator) for tool in tools))
        return rules

    def _body(rules: Rules, tool: Tool, separator: str) -> str:
        name = quoted(tool.name)
        front = f"{quoted(before)} {separator} {name}" if before else f"{name} {separator}"
        return f"{front} {quoted(fence[0])} {_arguments(rules, tool)} {quoted(fence[1])}"

    return CallSyntax(sections.CALLS[:1], write)


def _arguments(rules: Rules, tool: Tool) -> str:
    return rules.json(parameters_schema(tool))


DEEPSEEK3 = sectioned()
COGITO = sectioned("function", cogito.FENCE)
MINISTRAL = named("[TOOL_CALLS]", "[ARGS]")
