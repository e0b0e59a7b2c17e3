"""Reasoning in front of an answer that another parser reads."""

from typing import Final

from server.parse.families.family import FamilyParser, split_held
from server.parse.parsed import Parsed, Thoughts


class Thoughtful:
    """Text up to `closing` is reasoning, what follows is `inner`'s. One of `ends` ends it too, and is `inner`'s.

    Blanks around the reasoning and in front of the answer are dropped; the model may or may not write `opening` first.
    """

    def __init__(
        self,
        inner: FamilyParser,
        *,
        opening: str = "<think>",
        closing: str = "</think>",
        ends: tuple[str, ...] = (),
        opened: bool = True,
    ) -> None:
        """`opened`: the prompt ends inside the reasoning; else only `opening` begins it."""
        self.thoughts: Final = Thoughts("" if opened else opening, closing)
        self._inner = inner
        self._opening = opening
        """Empty once it has come: a second one is reasoning."""
        self._closing = closing
        self._marks = (closing, *ends)
        self._opened = opened
        self._held = ""
        self._started = False
        self._closed = False
        self._answering = False

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        if self._answering:
            return self._inner.feed(text)
        self._held += text
        if not self._closed and not self._started and not self._start():
            return Parsed()
        thinking = "" if self._closed or self._answering else self._think()
        if self._closed and not self._answering:
            self._held = self._held.lstrip()
            self._answering = bool(self._held)
        if not self._answering:
            return Parsed(thinking=thinking)
        held, self._held = self._held, ""
        return Parsed(thinking=thinking) + self._inner.feed(held)

    def finish(self) -> Parsed:
        """What was held back."""
        held, self._held = self._held, ""
        if self._answering or self._closed:
            return self._inner.finish()
        if self._started or self._opened:
            return Parsed(thinking=held if held.strip() else "") + self._inner.finish()
        return self._inner.feed(held) + self._inner.finish()

    def _start(self) -> bool:
        """Decides what the text begins with; False while that is open."""
        text = self._held.lstrip()
        if self._opening and text.startswith(self._opening):
            text = self._held = text[len(self._opening) :].lstrip()
            self._opened, self._opening = True, ""
        if self._opening.startswith(text):
            return False
        self._held = text if self._opened else self._held
        self._started, self._answering = self._opened, not self._opened
        return True

    def _think(self) -> str:
        """The reasoning that is certain; moves on where it ends."""
        places = [(at, mark) for mark in self._marks if (at := self._held.find(mark)) >= 0]
        if not places:
            certain, self._held = split_held(self._held, *self._marks)
            return certain
        at, mark = min(places)
        thinking, rest = self._held[:at].rstrip(), self._held[at:]
        if mark == self._closing:
            self._held, self._closed = rest[len(mark) :], True
        else:
            self._held, self._answering = rest, True
        return thinking
