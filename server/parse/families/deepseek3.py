"""DeepSeek V3.1: reasoning, then sections of calls `NAME<｜tool▁sep｜>{…}`."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.parse.families.family import Family, FamilyParser, Think
from server.parse.families.sections import CALL, CALLS, OUTPUT, SEPARATOR, SectionedCalls
from server.parse.families.thoughts import Thoughtful
from server.parse.scan import load_object


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> FamilyParser:
    """A parser for one answer. Behind an answer or a tool's result the prompt opens no reasoning."""
    inner = SectionedCalls(read_call, OUTPUT, told=True)
    goes_on = last is not None and last.role in ("assistant", "tool")
    return Thoughtful(inner) if think and not goes_on else inner


def read_call(body: str) -> ToolCall | None:
    """None if it is something else."""
    name, _, text = body.partition(SEPARATOR)
    arguments = load_object(text)
    return ToolCall(name.strip(), arguments) if name.strip() and arguments is not None else None


PARSERS: Final[Mapping[str, Family]] = {"deepseek3": Family(make, ("</think>", *CALLS, *CALL, SEPARATOR, *OUTPUT))}
