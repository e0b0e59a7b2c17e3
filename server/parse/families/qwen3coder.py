"""Qwen3-Coder: `<tool_call><function=NAME><parameter=KEY>…</parameter></function></tool_call>`.

Only those three elements mean anything; whatever else looks like markup is part of a value.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.messages import Message, Tool, ToolCall
from server.parse.families.calls import TaggedCalls
from server.parse.families.family import Family, Think, coerced, types_of, unframed

MARKS: Final = ("<tool_call>", "</tool_call>")
_FUNCTION: Final = re.compile(r"<function=([^>]*)>(.*?)</function>", re.DOTALL)
_PARAMETER: Final = re.compile(r"<parameter=([^>]*)>(.*?)</parameter>", re.DOTALL)
_OPEN: Final = re.compile(r"<parameter=[^>]*>")


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> TaggedCalls:
    """A parser for one answer."""
    return TaggedCalls(*MARKS, lambda body: read_call(body, tools))


def read_call(body: str, tools: Sequence[Tool]) -> list[ToolCall] | None:
    """The call in the text between the marks; None when there is none, or one that does not end."""
    found = _FUNCTION.search(body.replace("\r\n", "\n"))
    if found is None:
        return None
    name, inner = found[1], found[2]
    arguments: dict[str, Any] = {}
    for parameter in _PARAMETER.finditer(inner):
        key = parameter[1]
        arguments[key] = coerced(unframed(parameter[2]), types_of(tools, name, key))
    if _OPEN.search(_PARAMETER.sub("", inner)):
        return None
    return [ToolCall(name, arguments)]


PARSERS: Final[Mapping[str, Family]] = {"qwen3-coder": Family(make, MARKS)}
