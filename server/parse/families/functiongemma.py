"""FunctionGemma: text, and calls between `<start_function_call>` and `<end_function_call>`; no blank is dropped."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.parse.families.calls import TaggedCalls
from server.parse.families.family import Family, Think
from server.parse.families.gemmacalls import Dialect, read_call

MARKS: Final = ("<start_function_call>", "<end_function_call>")
_DIALECT: Final = Dialect("<escape>", words=True)


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> TaggedCalls:
    """A parser for one answer."""

    def read(body: str) -> list[ToolCall] | None:
        call = read_call(body, _DIALECT, tools)
        return None if call is None else [call]

    return TaggedCalls(*MARKS, read, trimmed=False)


PARSERS: Final[Mapping[str, Family]] = {"functiongemma": Family(make, MARKS)}
