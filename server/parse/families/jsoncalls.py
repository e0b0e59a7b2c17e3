"""Qwen3 and Qwen3-VL: calls as `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, perhaps behind reasoning."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from server.messages import Message, Tool, ToolCall
from server.parse.families.calls import TaggedCalls
from server.parse.families.family import Family, FamilyParser, Think, prefilled
from server.parse.families.qwen3coder import MARKS
from server.parse.families.thoughts import Thoughtful
from server.parse.scan import load_object

_THINK: Final = ("<think>", "</think>")


def make(tools: Sequence[Tool], last: Message | None, think: Think) -> FamilyParser:
    """For models that only answer."""
    return TaggedCalls(*MARKS, read_call)


def make_thinking(tools: Sequence[Tool], last: Message | None, think: Think) -> FamilyParser:
    """For models that think, unless they are told not to or have begun to answer."""
    calls = TaggedCalls(*MARKS, read_call)
    if think is False or prefilled(last):
        return calls
    return Thoughtful(calls, ends=MARKS[:1])


def make_vl_thinking(tools: Sequence[Tool], last: Message | None, think: Think) -> FamilyParser:
    """The same; told not to think, the model may begin to in its own words, as the prompt does not prevent it."""
    if think is False and not prefilled(last):
        return Thoughtful(TaggedCalls(*MARKS, read_call), ends=MARKS[:1], opened=False)
    return make_thinking(tools, last, think)


def read_call(body: str) -> list[ToolCall] | None:
    """The call that a JSON object names; None where there is no such object."""
    given = load_object(body)
    if given is None:
        return None
    name, arguments = given.get("name"), given.get("arguments")
    if not isinstance(name, str) or not name or not isinstance(arguments, dict | None):
        return None
    return [ToolCall(name, cast("dict[str, Any]", arguments or {}))]


PARSERS: Final[Mapping[str, Family]] = {
    "qwen3": Family(make, (*_THINK, *MARKS)),
    "qwen3-thinking": Family(make_thinking, (*_THINK, *MARKS)),
    "qwen3-vl-instruct": Family(make, (*_THINK[1:], *MARKS)),
    "qwen3-vl-thinking": Family(make_vl_thinking, (*_THINK[1:], *MARKS)),
}
