"""Olmo 3: ChatML, calls as lines of Python in `<function_calls>`. The thinking models know no tools."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.notation import compact, spaced

_BY_AI2: Final = (
    "You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December 2024, and your model weights are "
    "available at https://huggingface.co/allenai."
)
_NO_TOOLS: Final = "You do not currently have access to any functions. <functions></functions>"
_TOOLS: Final = (
    "You are provided with function signatures within <functions></functions> XML tags. You may call one or more "
    "functions to assist with the user query. Output any function calls within <function_calls></function_calls> XML "
    "tags. Do not make assumptions about what values to plug into functions."
)
"""Texts that the models were trained with (spec: prompting §7.8, §7.9)."""


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None, *, introduction: str) -> str:
    """The prompt of an Instruct model. Of system messages the first counts."""
    listed = f"<functions>{spaced(tooljson.tools(tools))}</functions>" if tools else ""
    system = _first_system(messages)
    if system is None:
        system = f"{introduction} {_TOOLS if tools else _NO_TOOLS}"
    pieces = [f"<|im_start|>system\n{system}{listed}<|im_end|>\n"]
    turns = [message for message in messages if message.role != "system"]
    for index, message in enumerate(turns):
        if message.role == "user":
            pieces.append(_turn("user", message.content))
        elif message.role == "tool":
            pieces.append(_turn("environment", message.content))
        elif message.role == "assistant":
            closed = index < len(turns) - 1 or bool(message.tool_calls)
            pieces.append(_turn("assistant", message.content + _calls(message.tool_calls), closed=closed))
    last = turns[-1] if turns else Message()
    goes_on = last.role == "assistant" and last.content and not last.tool_calls
    return "".join(pieces) + ("" if goes_on else "<|im_start|>assistant\n")


def render_thinking(
    messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None, *, introduction: str
) -> str:
    """The prompt of a Think model, which ends inside its reasoning."""
    system = _first_system(messages)
    pieces = [_turn("system", introduction if system is None else f"{system} {_NO_TOOLS}")]
    pieces += [_turn(message.role, message.content) for message in messages if message.role in ("user", "assistant")]
    return "".join(pieces) + "<|im_start|>assistant\n<think>"


def _first_system(messages: Sequence[Message]) -> str | None:
    return next((message.content for message in messages if message.role == "system"), None)


def _turn(role: str, text: str, *, closed: bool = True) -> str:
    return f"<|im_start|>{role}\n{text}" + ("<|im_end|>\n" if closed else "")


def _calls(calls: Sequence[ToolCall]) -> str:
    lines = "\n".join(map(_call, calls))
    return f"<function_calls>{lines}</function_calls>" if calls else ""


def _call(given: ToolCall) -> str:
    """`name(key="value", …)`, keys sorted."""
    arguments = tooljson.arguments(given.arguments) or {}
    return f"{given.name}({', '.join(f'{key}={compact(arguments[key])}' for key in sorted(arguments))})"


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "olmo3": partial(render, introduction="You are a helpful function-calling AI assistant."),
    "olmo3.1": partial(render, introduction=_BY_AI2),
    "olmo3-think": partial(render_thinking, introduction=_BY_AI2),
    "olmo3-32b-think": partial(render_thinking, introduction="You are a helpful AI assistant."),
}
