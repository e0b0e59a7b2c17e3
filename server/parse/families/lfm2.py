"""LFM2: lists of calls in Python between `<|tool_call_start|>` and `<|tool_call_end|>`; sometimes without the marks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from server.messages import Message, Tool
from server.parse.families.calls import TaggedCalls
from server.parse.families.family import Family, FamilyParser, Think, prefilled
from server.parse.families.pythonic import read_list
from server.parse.families.thoughts import Thoughtful
from server.parse.parsed import Parsed, Thoughts

MARKS: Final = ("<|tool_call_start|>", "<|tool_call_end|>")


class UnmarkedCalls:
    """An answer that is nothing but a list of calls of declared tools has these calls; `inner` reads any other.

    What begins like such a list waits for the end of the text. With `trimmed`, blanks at the beginning are dropped."""

    def __init__(self, inner: FamilyParser, tools: Sequence[Tool], *, trimmed: bool) -> None:
        self.thoughts: Final[Thoughts | None] = None
        self._inner = inner
        self._names = [tool.name for tool in tools if tool.name]
        self._trimmed = trimmed
        self._waiting = trimmed or bool(self._names)
        self._held = ""

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        if not self._waiting:
            return self._inner.feed(text)
        self._held += text
        return Parsed() if self._may_be_calls() else self._pass_on()

    def finish(self) -> Parsed:
        """What was held back."""
        if not self._waiting:
            return self._inner.finish()
        calls = read_list(self._held)
        if calls is None or any(call.name not in self._names for call in calls):
            return self._pass_on() + self._inner.finish()
        return Parsed(calls=tuple(replace(call, index=number) for number, call in enumerate(calls)))

    def _may_be_calls(self) -> bool:
        text = self._held.lstrip().removeprefix("[").lstrip()
        if MARKS[0] in text:
            return False
        return not text or any(text.startswith(f"{name}(") or f"{name}(".startswith(text) for name in self._names)

    def _pass_on(self) -> Parsed:
        held, self._held, self._waiting = self._held, "", False
        return self._inner.feed(held.lstrip() if self._trimmed else held)


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> FamilyParser:
    """A parser for an answer without reasoning."""
    return UnmarkedCalls(TaggedCalls(*MARKS, read_list), tools, trimmed=False)


def make_thinking(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> FamilyParser:
    """A parser for an answer that may begin with reasoning, if it is wanted."""
    if not think or prefilled(last):
        return make(tools, last, think)
    return Thoughtful(UnmarkedCalls(TaggedCalls(*MARKS, read_list), tools, trimmed=True), opened=False)


_PRESERVED: Final = ("<think>", "</think>", *MARKS)
PARSERS: Final[Mapping[str, Family]] = {
    "lfm2": Family(make, _PRESERVED),
    "lfm2-thinking": Family(make_thinking, _PRESERVED),
}
