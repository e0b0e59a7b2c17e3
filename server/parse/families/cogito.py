"""Cogito v2: reasoning, then sections of calls, their arguments in fences."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.parse.families.family import Family, FamilyParser, Think
from server.parse.families.sections import CALL, CALLS, OUTPUT, OUTPUTS, SEPARATOR, SectionedCalls
from server.parse.families.thoughts import Thoughtful
from server.parse.scan import load_object

FENCE: Final = ("\n```json\n", "\n```")


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> FamilyParser:
    """A parser for one answer. Even behind an answer that the request began the prompt opens a new one."""
    inner = SectionedCalls(read_call, OUTPUTS, told=False)
    return Thoughtful(inner) if think else inner


def read_call(body: str) -> ToolCall | None:
    """`function<｜tool▁sep｜>NAME` and a fence with the arguments; None if it is something else."""
    name, fence, rest = body.partition(SEPARATOR)[2].partition(FENCE[0])
    text, end, _ = rest.partition(FENCE[1])
    arguments = load_object(text) if fence and end else None
    return ToolCall(name.strip(), arguments) if name.strip() and arguments is not None else None


PARSERS: Final[Mapping[str, Family]] = {
    "cogito": Family(make, ("</think>", *CALLS, *CALL, SEPARATOR, *OUTPUTS, *OUTPUT))
}
