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
    """The calls in the text between the marks; None when there is none, or one that does not end."""
    calls = [_call(found[1], found[2], tools) for found in _FUNCTION.finditer(body.replace("\r\n", "\n"))]
    whole = [call for call in calls if call is not None]
    return whole if whole and len(whole) == len(calls) else None


def _call(name: str, inner: str, tools: Sequence[Tool]) -> ToolCall | None:
    arguments: dict[str, Any] = {}
    for parameter in _PARAMETER.finditer(inner):
        key = parameter[1]
        arguments[key] = coerced(unframed(parameter[2]), types_of(tools, name, key))
    return None if _OPEN.search(_PARAMETER.sub("", inner)) else ToolCall(name, arguments)


PARSERS: Final[Mapping[str, Family]] = {"qwen3-coder": Family(make, MARKS)}
