"""Nemotron 3: reasoning, then what Qwen3-Coder writes."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Message, Tool
from server.parse.families import qwen3coder
from server.parse.families.family import Family, FamilyParser, Think
from server.parse.families.thoughts import Thoughtful

_PRESERVED: Final = ("<think>", "</think>", *qwen3coder.MARKS)


def switched(message: Message) -> bool | None:
    """Whether a message turns the reasoning of Nemotron 3 on or off; None if it does neither."""
    if message.role not in ("system", "user"):
        return None
    if "/think" in message.content.replace("</think>", ""):
        return True
    return False if "/no_think" in message.content else None


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> FamilyParser:
    """A parser for one answer. Even behind an answer that the request began the prompt opens a new one."""
    inner = qwen3coder.make(tools)
    if think is not None and not think:
        return inner
    return Thoughtful(inner, ends=(qwen3coder.MARKS[0],))


def make_switched(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> FamilyParser:
    """The same where the last message may decide about reasoning."""
    said = switched(last) if last else None
    return make(tools, last, think if said is None else said)


PARSERS: Final[Mapping[str, Family]] = {
    "nemotron-3-nano": Family(make_switched, _PRESERVED),
    "nemotron-3.5-nano": Family(make, _PRESERVED),
}
