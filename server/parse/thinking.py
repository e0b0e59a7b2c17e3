"""Splits reasoning between two tags from the answer.

    searching ──opening──▶ opened ──text──▶ thinking ──closing──▶ closed ──text──▶ answering
        └──anything else──────────────────────────────────────────────────────────────▲

Blanks behind each tag are dropped. Reasoning only counts at the very beginning; later tags are text.
"""

from enum import Enum, auto
from typing import Final

from server.parse.parsed import Parsed, Thoughts, held_length


class _State(Enum):
    SEARCHING = auto()
    OPENED = auto()
    THINKING = auto()
    CLOSED = auto()
    ANSWERING = auto()


class ThinkingParser:
    """`opened`: the prompt ends with the opening tag, so the text begins inside it."""

    def __init__(self, opening: str, closing: str, *, opened: bool = False) -> None:
        self.opening: Final = opening
        self.closing: Final = closing
        self.opened: Final = opened
        self.thoughts: Final = Thoughts("" if opened else opening, closing)
        self._state = _State.OPENED if opened else _State.SEARCHING
        self._held = ""

    def feed(self, text: str) -> Parsed:
        self._held += text
        content = thinking = ""
        while True:
            match self._state:
                case _State.SEARCHING:
                    if not self._open():
                        return Parsed()
                case _State.OPENED | _State.CLOSED:
                    self._held = self._held.lstrip()
                    if not self._held:
                        return Parsed(content, thinking)
                    self._state = _State.THINKING if self._state is _State.OPENED else _State.ANSWERING
                case _State.THINKING:
                    thinking += self._think()
                    if self._state is _State.THINKING:
                        return Parsed(content, thinking)
                case _State.ANSWERING:
                    content, self._held = self._held, ""
                    return Parsed(content, thinking)

    def finish(self) -> Parsed:
        held, self._held = self._held, ""
        if not held.strip():
            return Parsed()
        return Parsed(thinking=held) if self._state is _State.THINKING else Parsed(held)

    def _open(self) -> bool:
        """Decides what the text begins with; False while that is open."""
        start = self._held.lstrip()
        if start.startswith(self.opening):
            self._held = start[len(self.opening) :]
            self._state = _State.OPENED
        elif self.opening.startswith(start):
            return False
        else:
            self._state = _State.ANSWERING
        return True

    def _think(self) -> str:
        thought, tag, rest = self._held.partition(self.closing)
        if tag:
            self._held = rest
            self._state = _State.CLOSED
            return thought
        keep = len(thought) - held_length(thought, self.closing)
        self._held = thought[keep:]
        return thought[:keep]
