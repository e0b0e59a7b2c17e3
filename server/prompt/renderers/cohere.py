"""Cohere's Command A: turns of special tokens, tools and calls as JSON, each call known by its number."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.notation import compact, spaced

_TURN: Final = "<|START_OF_TURN_TOKEN|>"
_END: Final = "<|END_OF_TURN_TOKEN|>"
_ROLES: Final = {"system": "<|SYSTEM_TOKEN|>", "user": "<|USER_TOKEN|>"}
_ANSWERS: Final = frozenset({"assistant", "chatbot"})
_BEFORE_CALLS: Final = "\n            \n                "
"""Blanks that the models were trained with (spec: prompting §7.17)."""


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt. Models think unless told not to; a last answer without calls is left open."""
    leads = bool(messages) and messages[0].role.lower() == "system"
    pieces = [_header(messages[0].content if leads else "", tools)]
    turns = messages[1:] if leads else messages
    numbers: dict[str, str] = {}
    count = 0
    for index, message in enumerate(turns):
        role = message.role.lower()
        if role in _ROLES:
            pieces.append(f"{_TURN}{_ROLES[role]}<|START_TEXT|>{message.content}<|END_TEXT|>{_END}")
        elif role in _ANSWERS:
            pieces.append(_answer(message, count))
            numbers |= {call.id: str(count + at) for at, call in enumerate(message.tool_calls) if call.id}
            count += len(message.tool_calls)
        elif role == "tool":
            number = numbers.get(message.tool_call_id, message.tool_call_id)
            pieces.append(_result(number, message.content, *_neighbours(turns, index)))
    last = turns[-1] if turns else Message()
    if last.role.lower() in _ANSWERS and not last.tool_calls:
        return "".join(pieces).removesuffix(f"<|END_TEXT|>{_END}")
    thoughts = "<|START_THINKING|><|END_THINKING|>" if think is False else "<|START_THINKING|>"
    return "".join(pieces) + f"{_TURN}<|CHATBOT_TOKEN|>{thoughts}"


def _header(system: str, tools: Sequence[Tool]) -> str:
    gap = "\n\n\n\n" if system else ""
    listed = ",".join(map(_tool, tooljson.tools(tools)))
    text = f"{system}{gap}# Available Tools\n```json\n[\n{listed}\n\n\n]\n```"
    return f"{_TURN}<|SYSTEM_TOKEN|><|START_TEXT|>{text}<|END_TEXT|>{_END}"


def _tool(tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    name, description = compact(function["name"]), compact(function.get("description", ""))
    parameters = spaced(function["parameters"])
    members = f'"name": {name}, "description": {description}, "parameters": {parameters}, "responses": null'
    return f"\n    {{{members}}}"


def _answer(message: Message, count: int) -> str:
    """`count`: how many calls came before."""
    opening = f"{_TURN}<|CHATBOT_TOKEN|>"
    thoughts = f"<|START_THINKING|>{message.thinking}<|END_THINKING|>" if message.thinking else ""
    if not message.tool_calls:
        return f"{opening}{thoughts}<|START_TEXT|>{message.content}<|END_TEXT|>{_END}"
    calls = ",".join(_call(call, count + at) for at, call in enumerate(message.tool_calls))
    return f"{opening}{_BEFORE_CALLS}{thoughts}<|START_ACTION|>[{calls}\n\n]<|END_ACTION|>{_END}"


def _call(given: ToolCall, number: int) -> str:
    parameters = spaced(tooljson.arguments(given.arguments) or {})
    return f'\n\n    {{"tool_call_id": "{number}", "tool_name": "{given.name}", "parameters": {parameters}}}'


def _neighbours(turns: Sequence[Message], index: int) -> tuple[bool, bool]:
    """Whether the result there is the first of its turn, and whether it is the last."""
    first = not index or turns[index - 1].role.lower() != "tool"
    return first, index == len(turns) - 1 or turns[index + 1].role.lower() != "tool"


def _result(number: str, content: str, first: bool, last: bool) -> str:
    opening = f"{_TURN}<|SYSTEM_TOKEN|><|START_TOOL_RESULT|>[" if first else ","
    closing = f"\n\n]<|END_TOOL_RESULT|>{_END}" if last else ""
    results = f'"results": {{\n\n            \n            "0": {{"content": {compact(content)}}}\n\n        }}'
    members = f'        "tool_call_id": "{number}",\n        {results},\n        "is_error": null\n'
    return f"{opening}\n    {{\n{members}    }}{closing}"


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "cohere": render
}
