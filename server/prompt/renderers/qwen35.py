"""Qwen3.5 and what is built like it: ChatML with pictures, tools as JSON, calls in Qwen3-Coder's elements.

Reasoning is written since the last question (qwen3.5), or in all answers (ornith, qwen3.8). Qwen3.8 has one system
message, which may begin with how hard to think.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from server.messages import Message, Tool
from server.prompt import tooljson
from server.prompt.errors import RendererRefusal
from server.prompt.renderers.media import tagged
from server.prompt.renderers.notation import spaced
from server.prompt.renderers.questions import is_question, last_question, result_at
from server.prompt.renderers.qwen3coder import CALL_INSTRUCTIONS, call

_XHIGH: Final = (
    "Reasoning effort is set to xhigh. Please think carefully through the task, validate key assumptions, consider "
    "plausible alternatives, and prioritize correctness, consistency, and clarity in the final answer."
)
_LOW: Final = (
    "Reasoning effort is set to low. Keep your thinking brief and focused, moving directly to the conclusion without "
    "unnecessary elaboration."
)
_EFFORTS: Final[Mapping[bool | str | None, str]] = {None: _XHIGH, "high": _XHIGH, "max": _XHIGH, "low": _LOW}
"""By `think`; the others say nothing."""
_TOOLS: Final = "# Tools\n\nYou have access to the following functions:\n\n<tools>"
_INSTRUCTING: Final = ("system", "developer")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What tells the three apart."""

    reasons_always: bool = False
    """Every answer has a block of reasoning, be it empty."""
    literal: bool = False
    """Text is what it is: nobody looks for reasoning in it; no role is left out."""


def render(
    messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None, kind: _Kind, effort: str = ""
) -> str:
    """The prompt."""
    thinks = think is None or bool(think)
    messages = [replace(message, content=message.content.strip()) for message in tagged(messages)]
    question = last_question(messages)
    pieces = [_system(messages, tools, effort, kind)]
    for index, message in enumerate(messages):
        last = index == len(messages) - 1
        if message.role == "assistant":
            reasons = kind.reasons_always or (thinks and index > question)
            pieces.append(_assistant(message, kind, reasons=reasons) + ("" if last else "<|im_end|>\n"))
        elif message.role == "tool":
            pieces.append(result_at(messages, index))
        elif message.role == "user" or (index if message.role == "system" else kind.literal):
            pieces.append(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n")
    if not messages or messages[-1].role != "assistant":
        pieces.append("<|im_start|>assistant\n<think>\n" + ("" if thinks else "\n</think>\n\n"))
    return "".join(pieces)


def render_qwen38(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt. Raises `RendererRefusal`."""
    messages = _instructions_first(messages)
    if not messages:
        raise RendererRefusal("no messages provided")
    if not any(is_question(replace(message, content=message.content.strip())) for message in messages):
        raise RendererRefusal("no user query found in messages")
    return render(messages, tools, think, _Kind(reasons_always=True, literal=True), _EFFORTS.get(think, ""))


def _instructions_first(messages: Sequence[Message]) -> Sequence[Message]:
    """All messages with instructions as one, in front."""
    instructing = [message for message in messages if message.role in _INSTRUCTING]
    for message in instructing:
        if message.images:
            raise RendererRefusal(f"{message.role} message cannot contain images")
    if not instructing or (len(instructing) == 1 and messages[0].role == "system"):
        return messages
    texts = (message.content.strip() for message in instructing)
    system = Message("system", "\n\n".join(filter(None, texts)))
    return [system, *(message for message in messages if message.role not in _INSTRUCTING)]


def _system(messages: Sequence[Message], tools: Sequence[Tool], effort: str, kind: _Kind) -> str:
    leads = bool(messages) and messages[0].role == "system"
    pieces = [effort] if effort else []
    if tools:
        listed = "".join(f"\n{spaced(tool)}" for tool in tooljson.tools(tools))
        pieces.append(f"{_TOOLS}{listed}\n</tools>\n\n{CALL_INSTRUCTIONS}")
    if leads and messages[0].content:
        pieces.append(messages[0].content)
    text = "\n\n".join(pieces)
    return f"<|im_start|>system\n{text}<|im_end|>\n" if text or (leads and not kind.literal) else ""


def _assistant(message: Message, kind: _Kind, *, reasons: bool) -> str:
    thinking, content = message.thinking.strip() if reasons else "", message.content
    if not kind.literal and not (reasons and message.thinking):
        thinking, content = _extracted(content)
    block = f"<think>\n{thinking}\n</think>\n\n" if reasons else ""
    gap = "\n\n" if message.tool_calls and content.strip() else ""
    calls = "\n".join(map(call, message.tool_calls))
    return f"<|im_start|>assistant\n{block}{content}{gap}{calls}"


def _extracted(content: str) -> tuple[str, str]:
    """Reasoning that stands in the text, and the text without it."""
    before, closing, rest = content.partition("</think>")
    if not closing:
        return "", content
    return before.rpartition("<think>")[2].strip(), rest.lstrip("\n")


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "qwen3.5": partial(render, kind=_Kind()),
    "ornith": partial(render, kind=_Kind(reasons_always=True)),
    "qwen3.8": render_qwen38,
}
