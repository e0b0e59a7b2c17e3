"""Olmo 3: instruct models call in lines of Python within `<function_calls>`; thinking ones reason and answer."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.parse.families.calls import TaggedCalls
from server.parse.families.family import Family, FamilyParser, Think
from server.parse.families.plain import PlainText
from server.parse.families.pythonic import read_call
from server.parse.families.thoughts import Thoughtful

MARKS: Final = ("<function_calls>", "</function_calls>")


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> TaggedCalls:
    """A parser for an answer of an instruct model."""
    return TaggedCalls(*MARKS, read_calls, trimmed=False)


def make_thinking(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> FamilyParser:
    """A parser for an answer of a thinking model: its prompt always ends inside reasoning."""
    return Thoughtful(PlainText())


def read_calls(body: str) -> list[ToolCall] | None:
    """A call a line; None if one of them is none."""
    found = [read_call(line.strip()) for line in body.split("\n") if line.strip()]
    calls = [call for call in found if call is not None]
    return calls if len(calls) == len(found) else None


PARSERS: Final[Mapping[str, Family]] = {
    "olmo3": Family(make, MARKS),
    "olmo3-think": Family(make_thinking, ("</think>",)),
}
