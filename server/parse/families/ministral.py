"""Ministral: `[TOOL_CALLS]NAME[ARGS]{…}`, one after the other, and reasoning in `[THINK]…[/THINK]` wherever it comes.

    thinking ◀──[THINK]─── text ──[TOOL_CALLS]──▶ name ──[ARGS]──▶ arguments
        └───[/THINK]───────▲ ▲ ▲───not declared────┘                │
                             └──end of the object, or none there────┘

Names are those of the tools; an id may stand behind. What is no call is text, marks and all.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.parse.families.family import Family, Think, split_held
from server.parse.parsed import Parsed, Thoughts
from server.parse.scan import BracketScanner, load_object

_CALL: Final = "[TOOL_CALLS]"
_ID: Final = "[CALL_ID]"
_ARGUMENTS: Final = "[ARGS]"
_THINK: Final = ("[THINK]", "[/THINK]")


class _Place(Enum):
    TEXT = auto()
    THINKING = auto()
    NAME = auto()
    ARGUMENTS = auto()


class MinistralParser:
    """`thoughts` is None: an answer that must have a format cannot have reasoning in the middle."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self.thoughts: Final[Thoughts | None] = None
        self._names = frozenset(tool.name for tool in tools)
        self._place = _Place.TEXT
        self._held = ""
        self._searched = 0
        """Within a name, no mark begins before it."""
        self._behind = False
        """Nothing but blanks came since reasoning ended."""
        self._name = ""
        self._begun = ""
        """The call up to its arguments, as written."""
        self._object = BracketScanner("{")
        self._count = 0

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        self._held += text
        return sum(self._steps(), Parsed())

    def finish(self) -> Parsed:
        """What was held back."""
        held, self._held = self._held, ""
        match self._place:
            case _Place.TEXT:
                return self._said(held) if held.strip() else Parsed()
            case _Place.THINKING:
                return Parsed(thinking=held)
            case _Place.NAME:
                return Parsed(_CALL + held)
            case _Place.ARGUMENTS:
                return Parsed(self._begun + held)

    def _steps(self) -> Iterator[Parsed]:
        steps = {
            _Place.TEXT: self._text,
            _Place.THINKING: self._thinking,
            _Place.NAME: self._named,
            _Place.ARGUMENTS: self._called,
        }
        while True:
            place, held = self._place, self._held
            yield steps[place]()
            if (self._place, self._held) == (place, held):
                return

    def _text(self) -> Parsed:
        found = [(at, mark) for mark in (_CALL, _THINK[0]) if (at := self._held.find(mark)) >= 0]
        if not found:
            certain, self._held = split_held(self._held, _CALL, _THINK[0])
            return self._said(certain)
        at, mark = min(found)
        head, self._held = self._held[:at].rstrip(), self._held[at + len(mark) :]
        self._place = _Place.NAME if mark == _CALL else _Place.THINKING
        said = self._said(head)
        self._behind = False
        return said

    def _thinking(self) -> Parsed:
        thinking, mark, rest = self._held.partition(_THINK[1])
        if not mark:
            thinking, self._held = split_held(self._held, _THINK[1], blanks=False)
            return Parsed(thinking=thinking)
        self._held, self._place, self._behind = rest, _Place.TEXT, True
        return Parsed(thinking=thinking)

    def _named(self) -> Parsed:
        """Looks at the name when it is complete. Of several opening marks the last one counts."""
        at = self._held.find(_ARGUMENTS, self._searched)
        if at < 0:
            self._searched = max(0, len(self._held) - len(_ARGUMENTS) + 1)
            return Parsed()
        head, self._held = self._held[:at], self._held[at + len(_ARGUMENTS) :]
        self._searched = 0
        text, _, written = (_CALL + head).rpartition(_CALL)
        self._name = written.partition(_ID)[0].strip()
        self._begun = f"{_CALL}{written}{_ARGUMENTS}"
        if self._name not in self._names:
            self._place = _Place.TEXT
            return Parsed(text + self._begun)
        self._place, self._object = _Place.ARGUMENTS, BracketScanner("{")
        return Parsed(text)

    def _called(self) -> Parsed:
        self._held = self._held if self._held[:1] == "{" else self._held.lstrip()
        if not self._held:
            return Parsed()
        end = self._object.end(self._held) if self._held[0] == "{" else 0
        if end is None:
            return Parsed()
        written, self._held = self._held[:end], self._held[end:]
        self._place = _Place.TEXT
        arguments = load_object(written)
        if arguments is None:
            return Parsed(self._begun + written)
        self._count += 1
        return Parsed(calls=(ToolCall(self._name, arguments, index=self._count - 1),))

    def _said(self, text: str) -> Parsed:
        if self._behind:
            text = text.lstrip()
            self._behind = not text
        return Parsed(text)


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> MinistralParser:
    """A parser for one answer."""
    return MinistralParser(tools)


PARSERS: Final[Mapping[str, Family]] = {"ministral": Family(make, (_CALL, *_THINK, _ARGUMENTS))}
