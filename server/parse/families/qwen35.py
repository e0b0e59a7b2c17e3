"""Qwen3.5, Ornith and Qwen3.8: reasoning, then what Qwen3-Coder writes."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Message, Tool
from server.parse.families import qwen3coder
from server.parse.families.family import Family, FamilyParser, Think
from server.parse.families.thoughts import Thoughtful

_PRESERVED: Final = ("<think>", "</think>", *qwen3coder.MARKS)


def make(tools: Sequence[Tool], last: Message | None, think: Think) -> FamilyParser:
    """A parser for one answer. One that the request began has no reasoning: the prompt closes it in any case."""
    answer = qwen3coder.make(tools)
    if think is False or (last is not None and last.role == "assistant"):
        return answer
    return Thoughtful(answer, ends=qwen3coder.MARKS[:1])


PARSERS: Final[Mapping[str, Family]] = {
    "qwen3.5": Family(make, _PRESERVED),
    "ornith": Family(make, _PRESERVED),
}
