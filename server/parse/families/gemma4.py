"""Gemma 4: reasoning in a channel, which may open anywhere in the text, and calls.

    text ──<|channel>──▶ opening ──"thought"──▶ thoughts ──<channel|>──▶ text
      └──<|tool_call>──▶ call ──<tool_call|>──▶ behind ──▶ text

Behind a call the model may write marks that belong to the result; they mean nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from server.messages import Message, Tool
from server.parse.families.family import Family, Think, split_held
from server.parse.families.gemmacalls import Dialect, read_call
from server.parse.parsed import Parsed, Thoughts, held_length

CHANNEL: Final = ("<|channel>", "<channel|>")
CALL: Final = ("<|tool_call>", "<tool_call|>")
_RESULT: Final = "<|tool_response>"
_DIALECT: Final = Dialect('<|"|>', words=False)
_NAME: Final = "thought\n"
"""Of the channel."""


class _Place(Enum):
    TEXT = auto()
    OPENING = auto()
    THOUGHTS = auto()
    CALL = auto()
    BEHIND = auto()


class GemmaParser:
    """`thinks`: reasoning is handed out; else it is dropped. `opened`: the prompt ends inside it."""

    def __init__(self, tools: Sequence[Tool], *, thinks: bool, opened: bool) -> None:
        self.thoughts: Final = Thoughts("" if opened else CHANNEL[0], CHANNEL[1]) if thinks else None
        self._tools = tools
        self._thinks = thinks
        self._place = _Place.THOUGHTS if opened else _Place.TEXT
        self._steps = {
            _Place.TEXT: self._text,
            _Place.OPENING: self._opening,
            _Place.THOUGHTS: self._thoughts,
            _Place.CALL: self._call,
            _Place.BEHIND: self._skip,
        }
        self._held = ""
        self._searched = 0
        """No end of the call begins before it."""
        self._begun = not opened
        """Something but white space came since the thoughts, or the text behind them, began."""
        self._count = 0

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        self._held += text
        parsed = Parsed()
        place = None
        while place is not self._place:
            place = self._place
            parsed += self._steps[place]()
        return parsed

    def finish(self) -> Parsed:
        """What was held back."""
        held, self._held = self._held, ""
        match self._place:
            case _Place.CALL:
                return self._called(held[: len(held) - held_length(held, CALL[1])], whole=False, read=held)
            case _Place.OPENING | _Place.THOUGHTS:
                return self._thought(held.rstrip())
            case _Place.BEHIND:
                return Parsed(held.lstrip())
            case _Place.TEXT:
                return Parsed(held if self._begun else held.lstrip())

    # -- places -------------------------------------------------------------------------------------------------------

    def _text(self) -> Parsed:
        self._begin()
        found = [(at, mark) for mark in (CHANNEL[0], CALL[0]) if (at := self._held.find(mark)) >= 0]
        if not found:
            certain, self._held = split_held(self._held, CHANNEL[0], CALL[0])
            return Parsed(certain)
        at, mark = min(found)
        text, self._held = self._held[:at].rstrip(), self._held[at + len(mark) :]
        self._place, self._searched = (_Place.OPENING if mark == CHANNEL[0] else _Place.CALL), 0
        return Parsed(text)

    def _opening(self) -> Parsed:
        if len(self._held) < len(_NAME) and _NAME.startswith(self._held):
            return Parsed()
        self._held = self._held.removeprefix(_NAME)
        self._place, self._begun = _Place.THOUGHTS, False
        return Parsed()

    def _thoughts(self) -> Parsed:
        self._begin()
        thinking, mark, rest = self._held.partition(CHANNEL[1])
        if not mark:
            certain, self._held = split_held(self._held, CHANNEL[1])
            return self._thought(certain)
        self._held, self._place, self._begun = rest, _Place.TEXT, False
        return self._thought(thinking.rstrip())

    def _call(self) -> Parsed:
        at = self._held.find(CALL[1], self._searched)
        if at < 0:
            self._searched = max(0, len(self._held) - len(CALL[1]) + 1)
            return Parsed()
        body, self._held = self._held[:at], self._held[at + len(CALL[1]) :]
        return self._called(body, whole=True, read=body + CALL[1])

    def _skip(self) -> Parsed:
        self._held = self._held.lstrip()
        while mark := next((mark for mark in (CALL[1], _RESULT) if self._held.startswith(mark)), None):
            self._held = self._held[len(mark) :].lstrip()
        if not any(mark.startswith(self._held) for mark in (CALL[1], _RESULT)):
            self._place = _Place.TEXT
        return Parsed()

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Drops white space in front of what begins."""
        if not self._begun:
            self._held = self._held.lstrip()
            self._begun = bool(self._held)

    def _thought(self, text: str) -> Parsed:
        return Parsed(thinking=text if self._thinks else "")

    def _called(self, body: str, *, whole: bool, read: str) -> Parsed:
        """The call of a body; where there is none, the text that was `read` for it, and its mark."""
        call = read_call(body, _DIALECT, self._tools, whole=whole)
        self._place, self._begun = (_Place.TEXT if call is None else _Place.BEHIND), True
        if call is None:
            return Parsed(CALL[0] + read)
        self._count += 1
        return Parsed(calls=(replace(call, index=self._count - 1),))


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> GemmaParser:
    """A parser for one answer. Behind the results of tools a prompt that asks for reasoning ends inside it."""
    return GemmaParser(tools, thinks=bool(think), opened=bool(think) and last is not None and last.role == "tool")


def make_plain(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> GemmaParser:
    """A parser for a model that does not reason."""
    return GemmaParser(tools, thinks=False, opened=False)


_PRESERVED: Final = (*CHANNEL, *CALL, _RESULT, _DIALECT.quote)
PARSERS: Final[Mapping[str, Family]] = {
    "gemma4": Family(make, _PRESERVED),
    "gemma4-no-thinking": Family(make_plain, _PRESERVED),
}
