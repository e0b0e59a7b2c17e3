"""Poolside's Laguna: turns between tags, calls as pairs of keys and values; one layout with line breaks, one without.

Turns of roles that the format does not know are left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.notation import spaced

_BEGINNING: Final = "〈|EOS|〉"
_SYSTEM: Final = (
    "You are a helpful, conversationally-fluent assistant made by Poolside. "
    "You are here to be helpful to users through natural language conversations."
)
_BEFORE_TOOLS: Final = (
    "### Tools\n\nYou may call functions to assist with the user query.\n"
    "All available function signatures are listed below:\n<available_tools>\n"
)
_THINK_FIRST: Final = "Wrap your thinking in '<think>', '</think>' tags, followed by a function call. "
_CALL_FORMAT: Final = (
    "For each function call, return an unescaped XML-like object with function name and arguments within "
    "'<tool_call>' and '</tool_call>' tags, like here:\n"
)
_EXAMPLE_THOUGHTS: Final = "<think> your thoughts here </think>\n"
_EXAMPLE_CALL: Final = (
    "<tool_call>function-name\n<arg_key>argument-key</arg_key>\n"
    "<arg_value>value-of-argument-key</arg_value>\n</tool_call>"
)
"""The texts that models of this kind were trained with (spec: prompting §7.16)."""
_TAGS: Final = {"system": "system", "user": "user", "tool": "tool_response"}


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt of Laguna v2. A last answer with anything in it is left open."""
    system, turns = _led(messages)
    pieces = [_BEGINNING, _header(system, tools, thinks=bool(think))]
    for message in turns:
        if message.role == "assistant":
            pieces.append(f"<assistant>\n{_answer(message)}</assistant>\n")
        elif message.role in _TAGS:
            tag = _TAGS[message.role]
            pieces.append(f"<{tag}>\n{message.content}\n</{tag}>\n")
    last = turns[-1] if turns else Message()
    if last.role != "assistant":
        pieces.append(f"<assistant>\n{'<think>' if think else '</think>'}")
    elif last.content or last.thinking or last.tool_calls:
        pieces[-1] = pieces[-1].removesuffix("</assistant>\n")
    return "".join(pieces)


def render_v8(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt of Laguna v8, which calls itself poolside-v1. It always ends in an answer to come."""
    system, turns = _led(messages)
    pieces = [_BEGINNING, _tight_header(system, tools, thinks=bool(think))]
    for message in turns:
        if message.role == "assistant":
            thoughts = f"<think>{message.thinking}</think>" if think else "</think>"
            calls = "".join(_call(given, "") for given in message.tool_calls)
            pieces.append(f"<assistant>{thoughts}{message.content}{calls}</assistant>\n")
        elif message.role in _TAGS:
            tag = _TAGS[message.role]
            pieces.append(f"<{tag}>{message.content}</{tag}>\n")
    pieces.append(f"<assistant>{'<think>' if think else '</think>'}")
    return "".join(pieces)


def _led(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """The system's text without blanks behind it, and the turns that follow."""
    if messages and messages[0].role == "system":
        return messages[0].content.rstrip(), messages[1:]
    return _SYSTEM, messages


def _header(system: str, tools: Sequence[Tool], *, thinks: bool) -> str:
    if not system and not tools:
        return ""
    first, example = (_THINK_FIRST, _EXAMPLE_THOUGHTS) if thinks else ("", "")
    told = f"\n\n{_described(tools)}\n\n{first}{_CALL_FORMAT}{example}{_EXAMPLE_CALL}" if tools else ""
    gap = "\n" if system else ""
    return f"<system>\n{gap}{system}{told}\n</system>\n"


def _tight_header(system: str, tools: Sequence[Tool], *, thinks: bool) -> str:
    if not system and not tools and not thinks:
        return ""
    gap = "\n\n" if system and tools else ""
    return f"<system>{system}{gap}{_described(tools)}</system>\n"


def _described(tools: Sequence[Tool]) -> str:
    listed = "".join(f"{spaced(tool)}\n" for tool in tooljson.tools(tools))
    return f"{_BEFORE_TOOLS}{listed}</available_tools>" if listed else ""


def _answer(message: Message) -> str:
    return "".join(_lines(message))


def _lines(message: Message) -> Iterator[str]:
    thinking, content = message.thinking.strip(), message.content
    if not thinking and "</think>" in content:
        before, _, content = content.rpartition("</think>")
        thinking = before.rpartition("<think>")[2].strip()
    yield f"<think>\n{thinking}\n</think>\n" if thinking else "</think>\n"
    if content.strip():
        yield f"{content.strip()}\n"
    for given in message.tool_calls:
        yield _call(given, "\n") + "\n"


def _call(given: ToolCall, gap: str) -> str:
    """`gap` stands behind the name and each key and value; only strings are not JSON."""
    arguments = tooljson.arguments(given.arguments) or {}
    pairs = "".join(
        f"<arg_key>{key}</arg_key>{gap}<arg_value>{value if isinstance(value, str) else spaced(value)}</arg_value>{gap}"
        for key, value in arguments.items()
    )
    return f"<tool_call>{given.name}{gap}{pairs}</tool_call>"


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "laguna": render,
    "poolside-v1": render_v8,
}
