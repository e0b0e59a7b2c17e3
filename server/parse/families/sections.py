"""Calls in sections between DeepSeek's marks.

    text ──calls begin──▶ section ──call begin──▶ call
     ▲ ▲ ───outputs──▶ output │  ▲ ────call end────┘ │
     └─┴──────────────────────┴──calls end───────────┘

A section holds any number of calls; each is handed out when it ends. What cannot be read comes out as text: a call
with its own marks, anything else between calls as it stands.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from typing import Final, TypeAlias

from server.messages import ToolCall
from server.parse.families.family import split_held
from server.parse.parsed import Parsed, Thoughts

Read: TypeAlias = Callable[[str], "ToolCall | None"]
"""The call of a body; None where it cannot be read."""

CALLS: Final = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")
CALL: Final = ("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>")
SEPARATOR: Final = "<｜tool▁sep｜>"
OUTPUTS: Final = ("<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>")
OUTPUT: Final = ("<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>")


class _Place(Enum):
    TEXT = auto()
    SECTION = auto()
    CALL = auto()
    OUTPUT = auto()


class SectionedCalls:
    """Text with sections of calls, and with `outputs`, results that the model makes up itself.

    Blanks in front of a section and behind one are dropped. Results are dropped too, or with `told` are text.
    """

    def __init__(self, read: Read, outputs: tuple[str, str], *, told: bool) -> None:
        self.thoughts: Final[Thoughts | None] = None
        self._read = read
        self._outputs = outputs
        self._told = told
        self._place = _Place.TEXT
        self._marks: Final = {
            _Place.TEXT: (CALLS[0], outputs[0]),
            _Place.SECTION: (CALL[0], CALLS[1]),
            _Place.CALL: (CALL[1], CALLS[1]),
            _Place.OUTPUT: (outputs[1],),
        }
        self._held = ""
        self._searched = 0
        """No mark begins before it."""
        self._behind = False
        """Nothing but blanks came since the last section."""
        self._count = 0

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        self._held += text
        parsed = Parsed()
        while True:
            marks = self._marks[self._place]
            found = [(at, mark) for mark in marks if (at := self._held.find(mark, self._searched)) >= 0]
            if not found:
                return parsed + self._wait(marks)
            at, mark = min(found)
            head, self._held = self._held[:at], self._held[at + len(mark) :]
            self._searched = 0
            parsed += self._at_mark(head, mark)

    def finish(self) -> Parsed:
        """What was held back."""
        held, self._held = self._held, ""
        match self._place:
            case _Place.TEXT:
                return self._said(held)
            case _Place.SECTION:
                return Parsed(held if held.strip() else "")
            case _Place.CALL:
                return Parsed(CALL[0] + held)
            case _Place.OUTPUT:
                return Parsed(held if self._told else self._outputs[0] + held)

    def _wait(self, marks: tuple[str, ...]) -> Parsed:
        if self._place is _Place.TEXT:
            certain, self._held = split_held(self._held, *marks)
            return self._said(certain)
        if self._place is _Place.OUTPUT and self._told:
            certain, self._held = split_held(self._held, *marks, blanks=False)
            return Parsed(certain)
        self._searched = max(0, len(self._held) - max(map(len, marks)) + 1)
        return Parsed()

    def _at_mark(self, head: str, mark: str) -> Parsed:
        """What stands in front of a mark; moves on to what the mark opens or closes."""
        match self._place:
            case _Place.TEXT:
                self._place = _Place.SECTION if mark == CALLS[0] else _Place.OUTPUT
                return self._said(head if mark == self._outputs[0] and self._told else head.rstrip())
            case _Place.SECTION:
                self._place = _Place.CALL if mark == CALL[0] else _Place.TEXT
                self._behind = True
                return Parsed(head if head.strip() else "")
            case _Place.CALL:
                self._place = _Place.SECTION if mark == CALL[1] else _Place.TEXT
                self._behind = True
                return self._called(head) if mark == CALL[1] else Parsed(CALL[0] + head)
            case _Place.OUTPUT:
                self._place = _Place.TEXT
                self._behind = not self._told
                return Parsed(head if self._told else "")

    def _said(self, text: str) -> Parsed:
        if self._behind:
            text = text.lstrip()
            self._behind = not text
        return Parsed(text)

    def _called(self, body: str) -> Parsed:
        call = self._read(body)
        if call is None:
            return Parsed(f"{CALL[0]}{body}{CALL[1]}")
        self._count += 1
        return Parsed(calls=(replace(call, index=self._count - 1),))
