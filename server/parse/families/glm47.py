"""GLM-4.7: reasoning first, then text with `<tool_call>` of keys and values in pairs."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Message, Tool
from server.parse.families import pairs
from server.parse.families.calls import TaggedCalls
from server.parse.families.family import Family, Think
from server.parse.families.thoughts import Thoughtful

PRESERVED: Final = ("<think>", "</think>", "<tool_call>", "</tool_call>", *pairs.MARKS)


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> Thoughtful:
    """A parser for one answer; the prompt ends inside the reasoning unless there shall be none."""
    return parser(tools, opened=think is not False)


def parser(tools: Sequence[Tool], *, opened: bool) -> Thoughtful:
    """`opened`: the answer begins inside reasoning; else only its mark begins some."""
    calls = TaggedCalls(
        "<tool_call>",
        "</tool_call>",
        lambda body: pairs.read_call(body, tools),
        unfinished=lambda body: pairs.read_unfinished(body, tools),
    )
    return Thoughtful(calls, opened=opened)


PARSERS: Final[Mapping[str, Family]] = {"glm-4.7": Family(make, PRESERVED)}
