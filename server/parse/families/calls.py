"""Calls between two marks, in the middle of text: what many families write, with bodies of their own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from server.messages import ToolCall
from server.parse.families.family import split_held
from server.parse.parsed import Parsed, Thoughts, held_length

Read: TypeAlias = Callable[[str], "Sequence[ToolCall] | None"]
"""The calls of a body; None where it cannot be read."""


class TaggedCalls:
    """Text with calls between `opening` and `closing`. With `trimmed`, blanks in front of a call and behind one are
    dropped; so are those at the end of the text. A body that cannot be read is content, marks and all. `unfinished`
    reads the last body if the text ends inside it; without, it is no call."""

    def __init__(
        self, opening: str, closing: str, read: Read, *, trimmed: bool = True, unfinished: Read | None = None
    ) -> None:
        self.thoughts: Final[Thoughts | None] = None
        self._opening = opening
        self._closing = closing
        self._read = read
        self._trimmed = trimmed
        self._unfinished = unfinished
        self._held = ""
        self._searched = 0
        """No closing mark begins before it."""
        self._inside = False
        self._behind = False
        """Nothing but blanks came since the last call."""
        self._count = 0

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        self._held += text
        parsed = Parsed()
        while True:
            mark = self._closing if self._inside else self._opening
            start = self._held.find(mark, self._searched)
            if start < 0:
                return parsed + self._wait(mark)
            head, self._held = self._held[:start], self._held[start + len(mark) :]
            parsed += self._called(head) if self._inside else self._said(head.rstrip() if self._trimmed else head)
            self._inside, self._searched = not self._inside, 0

    def finish(self) -> Parsed:
        """What was held back."""
        held, self._held = self._held, ""
        if self._inside:
            body = held[: len(held) - held_length(held, self._closing)]
            calls = self._unfinished(body) if self._unfinished else None
            return Parsed(self._opening + held) if calls is None else self._counted(calls)
        return self._said(held) if held.strip() or not self._trimmed else Parsed()

    def _wait(self, mark: str) -> Parsed:
        if self._inside:
            self._searched = max(0, len(self._held) - len(mark) + 1)
            return Parsed()
        certain, self._held = split_held(self._held, mark, blanks=self._trimmed)
        return self._said(certain)

    def _said(self, text: str) -> Parsed:
        if self._behind:
            text = text.lstrip()
            self._behind = not text
        return Parsed(text)

    def _called(self, body: str) -> Parsed:
        calls = self._read(body)
        if calls is None:
            self._behind = False
            return Parsed(f"{self._opening}{body}{self._closing}")
        self._behind = self._trimmed
        return self._counted(calls)

    def _counted(self, calls: Sequence[ToolCall]) -> Parsed:
        numbered = tuple(replace(call, index=self._count + number) for number, call in enumerate(calls))
        self._count += len(numbered)
        return Parsed(calls=numbered)
