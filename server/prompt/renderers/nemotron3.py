"""Nemotron 3: ChatML with a system block in any case, Qwen3-Coder's tools and calls with values as Python prints them.

The 3 takes `/think` and `/no_think` in messages for switches; the 3.5 may be asked for less effort.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, cast

from server.messages import Message, Tool, ToolCall
from server.parse.families.nemotron3 import switched
from server.prompt import tooljson
from server.prompt.renderers.media import tagged
from server.prompt.renderers.notation import argument, plain
from server.prompt.renderers.qwen3coder import CALL_INSTRUCTIONS

_PARAMETERS: Final = ("$defs", "items", "required")
_PROPERTY: Final = ("enum", "anyOf", "items", "properties", "required")
_NOTHING_THOUGHT: Final = "<think></think>"
_LESS_EFFORT: Final = "\n\n{reasoning effort: efficient}"


@dataclass(frozen=True, slots=True)
class _Generation:
    """What tells 3 and 3.5 apart."""

    switches: bool
    """Messages may turn reasoning on and off; they lose the blanks around, and so do old answers with calls."""
    thought: str
    """A turn's reasoning and its marks."""


_NANO_3: Final = _Generation(switches=True, thought="<think>\n{}\n</think>\n")
_NANO_3_5: Final = _Generation(switches=False, thought="<think>\n{}</think>")


def render(
    messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None, *, generation: _Generation
) -> str:
    """The prompt."""
    thinks = think is None or bool(think)
    turns = tagged(messages)
    if generation.switches:
        thinks = _switched(turns, thinks)
    leading = turns.pop(0).content if turns and turns[0].role == "system" else ""
    if generation.switches:
        leading, turns = _without_switches(leading), [_cleaned(message) for message in turns]
    last_question = max((index for index, message in enumerate(turns) if message.role == "user"), default=-1)
    if think == "medium" and not generation.switches and last_question >= 0:
        asked = turns[last_question]
        turns[last_question] = replace(asked, content=asked.content + _LESS_EFFORT)
    opening = "<think>\n" if thinks else _NOTHING_THOUGHT
    return f"{_system(leading, tools)}{_turns(turns, generation, last_question)}<|im_start|>assistant\n{opening}"


def _switched(messages: Sequence[Message], thinks: bool) -> bool:
    """What the last switch says."""
    for message in messages:
        said = switched(message)
        thinks = thinks if said is None else said
    return thinks


def _without_switches(text: str) -> str:
    pieces = (piece.replace("/think", "").replace("/no_think", "") for piece in text.split("</think>"))
    return "</think>".join(pieces)


def _cleaned(message: Message) -> Message:
    if message.role not in ("system", "user"):
        return message
    return replace(message, content=_without_switches(message.content).strip())


def _turns(turns: Sequence[Message], generation: _Generation, last_question: int) -> str:
    pieces: list[str] = []
    for index, message in enumerate(turns):
        if message.role == "assistant":
            pieces.append(_answer(message, generation, old=index < last_question))
        elif message.role == "tool":
            # A result that begins the conversation has no turn around it.
            first = index > 0 and turns[index - 1].role != "tool"
            last = index == len(turns) - 1 or turns[index + 1].role != "tool"
            pieces.append(_result(message.content, first=first, last=last))
        else:
            pieces.append(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n")
    return "".join(pieces)


def _result(content: str, *, first: bool, last: bool) -> str:
    opening, closing = "<|im_start|>user\n" if first else "", "<|im_end|>\n" if last else ""
    return f"{opening}<tool_response>\n{content}\n</tool_response>\n{closing}"


def _answer(message: Message, generation: _Generation, *, old: bool) -> str:
    """`old`: a question follows; reasoning is left out."""
    text = message.content
    if message.thinking:
        text = generation.thought.format(message.thinking) + text
    elif "<think>" not in text and "</think>" not in text:
        text = _NOTHING_THOUGHT + text
    if old:
        text = _forgetful(text, generation, called=bool(message.tool_calls))
    calls = "".join(map(_call, message.tool_calls))
    gap = "\n" if calls else ""
    return f"<|im_start|>assistant\n{text.strip()}{gap}{calls}<|im_end|>\n"


def _forgetful(text: str, generation: _Generation, *, called: bool) -> str:
    """Without what stands between the marks. With calls a text that has only one of them is cut there, too."""
    if not called:
        whole = "<think>" in text and "</think>" in text
        return _NOTHING_THOUGHT + text.rpartition("</think>")[2] if whole else text
    text = text.rpartition("</think>")[2] if "</think>" in text else text.partition("<think>")[0]
    return _NOTHING_THOUGHT + (text.strip() if generation.switches else text)


def _call(given: ToolCall) -> str:
    arguments = tooljson.arguments(given.arguments) or {}
    parameters = "".join(f"<parameter={key}>\n{_value(value)}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={given.name}>\n{parameters}</function>\n</tool_call>\n"


# -- tools ------------------------------------------------------------------------------------------------------------


def _system(text: str, tools: Sequence[Tool]) -> str:
    if tools:
        listed = "".join(map(_tool, tooljson.tools(tools)))
        gap = "\n\n" if text else ""
        text += (
            f"{gap}# Tools\n\nYou have access to the following functions:\n\n"
            f"<tools>{listed}\n</tools>\n\n{CALL_INSTRUCTIONS}"
        )
    return f"<|im_start|>system\n{text}<|im_end|>\n"


def _tool(tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    parameters: Mapping[str, Any] = function["parameters"]
    properties: Mapping[str, Mapping[str, Any]] = parameters["properties"] or {}
    return (
        f"\n<function>\n<name>{function['name']}</name>{_description(function)}\n<parameters>"
        + "".join(_parameter(name, schema) for name, schema in properties.items())
        + "".join(_member(key, parameters[key]) for key in _PARAMETERS if key in parameters)
        + "\n</parameters>\n</function>"
    )


def _parameter(name: str, schema: Mapping[str, Any]) -> str:
    kinds = _member("type", _types(schema["type"])) if "type" in schema else ""
    members = "".join(_member(key, schema[key]) for key in _PROPERTY if key in schema)
    return f"\n<parameter>\n<name>{name}</name>{kinds}{_description(schema)}{members}\n</parameter>"


def _description(described: Mapping[str, Any]) -> str:
    text = described.get("description", "")
    return _member("description", text.strip()) if text else ""


def _types(kinds: str | list[str]) -> str:
    return kinds if isinstance(kinds, str) else str(kinds)


def _member(key: str, value: object) -> str:
    return f"\n<{key}>{_value(value)}</{key}>"


def _value(value: object) -> str:
    """As Python and its templates print it, but for numbers."""
    if value is None or isinstance(value, bool):
        return str(value)
    return plain(cast("object", value)) if isinstance(value, list | dict) else argument(value)


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "nemotron-3-nano": partial(render, generation=_NANO_3),
    "nemotron-3.5-nano": partial(render, generation=_NANO_3_5),
}
