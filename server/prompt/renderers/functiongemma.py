"""FunctionGemma: Gemma's turns, and marks around declared functions, calls and what they return."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from modelstore.numbers import listed_number
from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.gemmaterms import Terms, braced, kinds, leading, plain_number

_INTRODUCTION: Final = "You can do function calling with the following functions:"
_LARGEST: Final = 2**63


def _number(value: float) -> str:
    whole = value.is_integer() and abs(value) < _LARGEST
    return plain_number(value) if whole else listed_number(value)


TERMS: Final = Terms("<escape>", "<nil>", _number)


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt. `think` means nothing to these models."""
    instructions, turns = leading(messages)
    pieces = ["<bos>", _developer(instructions or "", tools)]
    calls: Sequence[ToolCall] = ()
    for at, turn in enumerate(turns):
        before = turns[at - 1] if at else Message()
        if turn.role == "tool":
            # A call leaves the mark of its first result behind.
            opening = "" if before.tool_calls else "<start_function_response>"
            name, calls = (calls[0].name, calls[1:]) if calls else (turn.tool_name, ())
            pieces.append(f"{opening}response:{name}{{{TERMS.text(turn.content)}}}<end_function_response>")
            continue
        calls = turn.tool_calls
        answered = at + 1 < len(turns) and turns[at + 1].role == "tool"
        pieces.append(_turn(turn, goes_on=before.role == "tool", answered=answered))
    if not turns or turns[-1].role != "tool":
        pieces.append("<start_of_turn>model\n")
    return "".join(pieces)


def _developer(instructions: str, tools: Sequence[Tool]) -> str:
    """The turn in front of all others."""
    if not instructions and not tools:
        return ""
    declared = "".join(map(_declaration, tooljson.tools(tools)))
    gap = "\n" if instructions and tools else ""
    introduction = _INTRODUCTION if tools and instructions != _INTRODUCTION else ""
    return f"<start_of_turn>developer\n{instructions}{gap}{introduction}{declared}<end_of_turn>\n"


def _turn(turn: Message, *, goes_on: bool, answered: bool) -> str:
    role = "model" if turn.role == "assistant" else turn.role
    opening = "" if goes_on else f"<start_of_turn>{role}\n"
    calls = "".join(map(_call, turn.tool_calls))
    closing = "<start_function_response>" if calls and answered else "<end_of_turn>\n"
    return f"{opening}{turn.content.strip()}{calls}{closing}"


def _call(given: ToolCall) -> str:
    arguments = TERMS.members(tooljson.arguments(given.arguments) or {})
    return f"<start_function_call>call:{given.name}{arguments}<end_function_call>"


def _declaration(tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    parameters = function["parameters"]
    described = f"description:{TERMS.text(function.get('description', ''))}"
    taken = f"parameters:{_parameters(parameters)}" if parameters["properties"] or parameters["type"] else ""
    declared = f"declaration:{function['name']}{braced([described, taken])}"
    return f"<start_function_declaration>{declared}<end_function_declaration>"


def _parameters(given: Mapping[str, Any]) -> str:
    properties: Mapping[str, Mapping[str, Any]] = given["properties"] or {}
    named = [f"{name}:{_property(properties[name])}" for name in sorted(properties)]
    required = given.get("required")
    return braced(
        [
            f"properties:{braced(named)}" if named else "",
            f"required:{TERMS.texts(required)}" if required else "",
            _type(given),
        ]
    )


def _property(given: Mapping[str, Any]) -> str:
    return braced([f"description:{TERMS.text(given.get('description', ''))}", _type(given)])


def _type(given: Mapping[str, Any]) -> str:
    """The first type, if there is any."""
    return "".join(f"type:{TERMS.text(kind)}" for kind in kinds(given)[:1])


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "functiongemma": render
}
