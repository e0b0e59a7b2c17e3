"""Cohere's Command A: reasoning, text and actions, each between marks of its own.

    thinking ──END_THINKING──▶ between ──START_TEXT──▶ text ──END_TEXT──▶ between
                                  └──START_ACTION──▶ action ──END_ACTION──▶ between

Text without a mark in front is text, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any, Final, cast

from server.messages import Message, Tool, ToolCall
from server.parse.families.family import Family, Think, split_held
from server.parse.families.stepwise import Stepwise
from server.parse.parsed import Parsed, Thoughts
from server.parse.scan import ObjectScanner, load_object

_START_THINKING: Final = "<|START_THINKING|>"
_END_THINKING: Final = "<|END_THINKING|>"
_START_TEXT: Final = "<|START_TEXT|>"
_END_TEXT: Final = "<|END_TEXT|>"
_START_ACTION: Final = "<|START_ACTION|>"
_END_ACTION: Final = "<|END_ACTION|>"
_START_RESPONSE: Final = "<|START_RESPONSE|>"
_END_RESPONSE: Final = "<|END_RESPONSE|>"
_END_OF_TURN: Final = "<|END_OF_TURN_TOKEN|>"
PRESERVED: Final = (
    _START_THINKING,
    _END_THINKING,
    _START_TEXT,
    _END_TEXT,
    _START_ACTION,
    _END_ACTION,
    _START_RESPONSE,
    _END_RESPONSE,
)
_ENDS_OF_TEXT: Final = (_END_TEXT, _END_RESPONSE, _END_OF_TURN)
_AROUND_CALLS: Final = "[], \t\r\n"
"""What an array has beside its objects."""


class _Place(Enum):
    THINKING = auto()
    BETWEEN = auto()
    TEXT = auto()
    ACTION = auto()


_NEXT: Final = {
    _START_THINKING: _Place.THINKING,
    _START_TEXT: _Place.TEXT,
    _START_RESPONSE: _Place.TEXT,
    _START_ACTION: _Place.ACTION,
    _END_OF_TURN: _Place.BETWEEN,
}
"""Where the marks between the parts lead."""


class CohereParser(Stepwise):
    """One answer. Each call is handed out when its object is complete. A last answer without calls is left open by the
    prompt, even an empty one."""

    def __init__(self, last: Message | None, think: Think) -> None:
        super().__init__()
        goes_on = last is not None and last.role in ("assistant", "chatbot") and not last.tool_calls
        thinks = think is not False and not goes_on
        self.thoughts: Final = Thoughts("", _START_TEXT) if thinks else None
        """Marks of what comes before the text itself."""
        self._place = _Place.TEXT if goes_on else _Place.THINKING if thinks else _Place.BETWEEN
        self._action = _Action()
        self._count = 0

    def finish(self) -> Parsed:
        """What was held back."""
        held, self._held = self._held, ""
        match self._place:
            case _Place.THINKING:
                return Parsed(thinking=held.rstrip())
            case _Place.BETWEEN:
                return Parsed(held.lstrip())
            case _Place.TEXT:
                return Parsed(held)
            case _Place.ACTION:
                return self._called(held) + Parsed(self._action.rest(""))

    def _step(self) -> tuple[Parsed, bool]:
        match self._place:
            case _Place.THINKING:
                return self._think()
            case _Place.BETWEEN:
                return self._begin()
            case _Place.TEXT:
                return self._say()
            case _Place.ACTION:
                return self._act()

    def _think(self) -> tuple[Parsed, bool]:
        thinking, mark, rest = self._held.partition(_END_THINKING)
        if not mark:
            certain, self._held = split_held(self._held, _END_THINKING)
            return Parsed(thinking=certain), False
        self._held, self._place = rest, _Place.BETWEEN
        return Parsed(thinking=thinking.rstrip()), True

    def _begin(self) -> tuple[Parsed, bool]:
        self._held = self._held.lstrip()
        for mark, place in _NEXT.items():
            if self._held.startswith(mark):
                self._held, self._place = self._held[len(mark) :], place
                return Parsed(), True
        if any(mark.startswith(self._held) for mark in _NEXT):
            return Parsed(), False
        self._place = _Place.TEXT
        return Parsed(), True

    def _say(self) -> tuple[Parsed, bool]:
        places = [(at, mark) for mark in _ENDS_OF_TEXT if (at := self._held.find(mark)) >= 0]
        if not places:
            certain, self._held = split_held(self._held, *_ENDS_OF_TEXT, blanks=False)
            return Parsed(certain), False
        at, mark = min(places)
        said, self._held = self._held[:at], self._held[at + len(mark) :]
        self._place = _Place.BETWEEN
        return Parsed(said), True

    def _act(self) -> tuple[Parsed, bool]:
        body, mark, rest = self._held.partition(_END_ACTION)
        if not mark:
            certain, self._held = split_held(self._held, _END_ACTION, blanks=False)
            return self._called(certain), False
        parsed = self._called(body) + Parsed(self._action.rest(_END_ACTION))
        self._action = _Action()
        self._held, self._place = rest, _Place.BETWEEN
        return parsed, True

    def _called(self, text: str) -> Parsed:
        calls = tuple(replace(call, index=self._count + at) for at, call in enumerate(self._action.read(text)))
        self._count += len(calls)
        return Parsed(calls=calls)


class _Action:
    """An array of calls, read object by object; what is none is kept."""

    def __init__(self) -> None:
        self._scanner = ObjectScanner()
        self._text = ""
        self._read = 0
        self._kept: list[str] = []
        self._any = False

    def read(self, text: str) -> list[ToolCall]:
        """The calls that are complete now."""
        self._text += text
        calls: list[ToolCall] = []
        while found := self._scanner.next_object(self._text):
            start, end = found
            call = _read_call(self._text[start:end])
            if call is None:
                self._kept.append(self._text[self._read : end])
            else:
                calls.append(call)
                self._kept.append(self._text[self._read : start])
            self._read = end
        self._any = self._any or bool(calls)
        return calls

    def rest(self, closing: str) -> str:
        """What could not be read; with the marks if nothing could."""
        kept = "".join([*self._kept, self._text[self._read :]]).strip(_AROUND_CALLS)
        if self._any or (closing and not kept):
            return kept
        return f"{_START_ACTION}{self._text}{closing}"


def _read_call(text: str) -> ToolCall | None:
    given = load_object(text)
    if given is None:
        return None
    name, parameters = given.get("tool_name"), given.get("parameters")
    if not isinstance(name, str) or not name or not isinstance(parameters, dict | None):
        return None
    return ToolCall(name, cast("dict[str, Any]", parameters or {}))


def make(tools: Sequence[Tool], last: Message | None, think: Think) -> CohereParser:
    """A parser for one answer."""
    return CohereParser(last, think)


PARSERS: Final[Mapping[str, Family]] = {"cohere": Family(make, PRESERVED)}
