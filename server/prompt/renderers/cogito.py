"""Cogito v2: DeepSeek's marks without roles for the system's text, tools and calls as JSON in fences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.notation import compact, indented

_INTRODUCTION: Final = (
    "You are Cogito, an AI assistant created by Deep Cogito, which is an AI research lab based in San Francisco."
)
_THINKING: Final = "Enable deep thinking subroutine.\n\n"
_TOOLS: Final = "\nYou have the following functions available:\n"


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt. Only a leading system message counts."""
    leads = bool(messages) and messages[0].role == "system"
    pieces = ["<｜begin▁of▁sentence｜>", _system(messages[0].content if leads else "", tools, thinks=bool(think))]
    turns = messages[1:] if leads else messages
    asked = False
    for index, message in enumerate(turns):
        if message.role == "user":
            pieces.append(f"<｜User｜>{message.content}<｜Assistant｜>")
        elif message.role == "assistant":
            pieces.append(f"{message.content}{_calls(message.tool_calls)}<｜end▁of▁sentence｜>")
        elif message.role == "tool":
            first = not index or turns[index - 1].role != "tool"
            last = index == len(turns) - 1 or turns[index + 1].role != "tool"
            pieces.append(_result(message.content, first=first, last=last))
        else:
            continue
        asked = message.role == "user"
    pieces.append(("" if asked else "<｜Assistant｜>") + ("<think>\n" if think else ""))
    return "".join(pieces)


def _system(text: str, tools: Sequence[Tool], *, thinks: bool) -> str:
    pieces = [_THINKING if thinks else "", _INTRODUCTION]
    if text:
        pieces.append(f"\n\n{text}\n\n" if thinks else f"\n\n{text}")
    if tools:
        pieces += [_TOOLS, *(f"```json\n{indented(tool)}\n```\n" for tool in tooljson.tools(tools))]
    return "".join(pieces)


def _calls(calls: Sequence[ToolCall]) -> str:
    if not calls:
        return ""
    listed = "\n".join(map(_call, calls))
    return f"<｜tool▁calls▁begin｜>{listed}<｜tool▁calls▁end｜>"


def _call(given: ToolCall) -> str:
    arguments = compact(tooljson.arguments(given.arguments))
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{given.name}\n```json\n{arguments}\n```<｜tool▁call▁end｜>"


def _result(content: str, *, first: bool, last: bool) -> str:
    """A tool's result; neighbours share one block."""
    opening, closing = "<｜tool▁outputs▁begin｜>" if first else "", "<｜tool▁outputs▁end｜>" if last else "\n"
    return f"{opening}<｜tool▁output▁begin｜>{content}<｜tool▁output▁end｜>{closing}"


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "cogito": render
}
