"""Muse Glimmer: messages with a recipient (spec: prompting §7.18).

    header ──<|message|>──▶ body ──<|eom|>, <|eot|>, the header of another message──▶ header

What is addressed to `self` is reasoning, what is addressed to a tool is a call, and all else is text. The prompt ends
inside the first header; a header that cannot become one is text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.parse.families import atem
from server.parse.families.family import Family, Think, split_held
from server.parse.families.stepwise import Stepwise
from server.parse.parsed import Parsed, Thoughts, held_length

_START: Final = "<|start|>assistant"
_MESSAGE: Final = "<|message|>"
_ENDS: Final = ("<|eom|>", "<|eot|>")
PRESERVED: Final = ("<|start|>", _MESSAGE, *_ENDS)
_TO_USER: Final = f"to=user{_MESSAGE}"
_RECIPIENT: Final = re.compile(r"\s*(?:to=([^\s<]*))?\s*")
_BEGUN: Final = re.compile(r"\s*(?:t|to|to=[^\s<]*)?\s*")
"""What may become a recipient."""
_END: Final = re.compile(rf"<\|eom\|>|<\|eot\|>|{re.escape(_START)}(?: to=([^\s<]+))?{re.escape(_MESSAGE)}")
_HEADER: Final = re.compile(rf"{re.escape(_START)}(?: (?:to=([^\s<]*)|to?)?)?")


class _Place(Enum):
    HEADER = auto()
    THINKING = auto()
    TOOL = auto()
    BLOCK = auto()
    """Text that may be calls without their recipient."""
    TEXT = auto()
    BEHIND = auto()
    """Behind a call, in its message."""


class GlimmerParser(Stepwise):
    """One answer. Reasoning is left out if the model was told not to think."""

    def __init__(self, tools: Sequence[Tool], think: Think) -> None:
        super().__init__()
        self.thoughts: Final = Thoughts("", _TO_USER)
        """Marks of what comes before the answer itself."""
        self._calls = atem.Calls(tools)
        self._thinks = think is not False
        self._any_tools = bool(tools)
        self._place = _Place.HEADER
        self._recipient = ""
        self._searched = 0
        """Calls do not end before it."""
        self._count = 0

    def finish(self) -> Parsed:
        """What was held back."""
        held, self._held = self._held, ""
        match self._place:
            case _Place.HEADER:
                return Parsed(held if held.removeprefix(_START).strip() else "")
            case _Place.THINKING:
                return self._thought(held)
            case _Place.BLOCK:
                return self._block(held)
            case _Place.TOOL | _Place.TEXT:
                return Parsed(held)
            case _Place.BEHIND:
                return Parsed()

    def _step(self) -> tuple[Parsed, bool]:
        match self._place:
            case _Place.HEADER:
                return self._read_header()
            case _Place.TOOL:
                return self._call()
            case _Place.BLOCK:
                return self._wait()
            case _Place.THINKING | _Place.TEXT:
                return self._say()
            case _Place.BEHIND:
                self._held = self._held.lstrip()
                self._place = _Place.TEXT if self._held else _Place.BEHIND
                return Parsed(), bool(self._held)

    def _read_header(self) -> tuple[Parsed, bool]:
        text = self._held.lstrip()
        if _START.startswith(text):
            return Parsed(), False
        header, mark, rest = text.removeprefix(_START).partition(_MESSAGE)
        found = _RECIPIENT.fullmatch(header)
        if mark and found:
            self._open(found[1] or "")
            self._held = rest
            return Parsed(), True
        if not mark and _BEGUN.fullmatch(header[: len(header) - held_length(header, _MESSAGE)]):
            return Parsed(), False
        self._place = _Place.TEXT
        return Parsed(), True

    def _open(self, recipient: str) -> None:
        """Begins the body of a message."""
        self._recipient, self._searched = self._calls.resolve(recipient), 0
        if recipient == "self":
            self._place = _Place.THINKING
        elif self._recipient:
            self._place = _Place.TOOL
        else:
            self._place = _Place.BLOCK if self._any_tools else _Place.TEXT

    def _say(self) -> tuple[Parsed, bool]:
        """Hands on what has no end in it."""
        end = self._end()
        if end is None:
            return self._said(self._certain()), False
        said, self._held = self._said(self._held[: end[0]]), self._held[end[1] :]
        self._place = _Place.HEADER
        return said, True

    def _said(self, text: str) -> Parsed:
        return self._thought(text) if self._place is _Place.THINKING else Parsed(text)

    def _thought(self, text: str) -> Parsed:
        return Parsed(thinking=text if self._thinks else "")

    def _wait(self) -> tuple[Parsed, bool]:
        """Holds text back that may be nothing but calls, up to its end."""
        if not _may_begin(self._held):
            self._place = _Place.TEXT
            return Parsed(), True
        end = self._end()
        if end is None:
            return Parsed(), False
        body, self._held, self._place = self._held[: end[0]], self._held[end[1] :], _Place.HEADER
        return self._block(body), True

    def _block(self, body: str) -> Parsed:
        calls = self._calls.read(body.strip())
        return Parsed(body) if calls is None else self._counted(calls)

    def _call(self) -> tuple[Parsed, bool]:
        """Reads a call when its end has come; the ends of messages before it mean nothing."""
        if not _may_begin(self._held):
            self._place = _Place.TEXT
            return Parsed(), True
        at = self._held.find(atem.BLOCK[1], self._searched)
        if at < 0:
            self._searched = max(0, len(self._held) - len(atem.BLOCK[1]) + 1)
            return Parsed(), False
        end = at + len(atem.BLOCK[1])
        body, self._held = self._held[:end], self._held[end:]
        calls = self._calls.read(body.strip(), self._recipient)
        self._place = _Place.TEXT if calls is None else _Place.BEHIND
        return Parsed(body) if calls is None else self._counted(calls), True

    def _end(self) -> tuple[int, int] | None:
        """Where the body ends, and where the text goes on behind it."""
        for found in _END.finditer(self._held):
            if not found[0].startswith(_START):
                return found.start(), found.end()
            if self._knows(found[1]):
                return found.start(), found.start()
        return None

    def _certain(self) -> str:
        """Takes what cannot belong to a mark or a header from the text that is held."""
        at = self._held.rfind("<|start|>")
        tail = self._held[at:] if at >= 0 else ""
        found = _HEADER.fullmatch(tail[: len(tail) - held_length(tail, _MESSAGE)]) if tail else None
        if (found and (not found[1] or self._knows(found[1], begun=True))) or (tail and _START.startswith(tail)):
            certain, self._held = self._held[:at], tail
        else:
            certain, self._held = split_held(self._held, *_ENDS, "<|start|>", blanks=False)
        return certain

    def _knows(self, recipient: str | None, *, begun: bool = False) -> bool:
        """Whether there is such a recipient; `begun`: one that begins so."""
        known = ("self", "user", *self._calls.recipients)
        return recipient is None or any(name.startswith(recipient) if begun else name == recipient for name in known)

    def _counted(self, calls: Sequence[ToolCall]) -> Parsed:
        numbered = tuple(replace(call, index=self._count + at) for at, call in enumerate(calls))
        self._count += len(numbered)
        return Parsed(calls=numbered)


def _may_begin(text: str) -> bool:
    """Whether a text is the beginning of calls."""
    start = text.lstrip()
    return start.startswith(atem.BLOCK[0]) or atem.BLOCK[0].startswith(start)


def make(tools: Sequence[Tool], last: Message | None, think: Think) -> GlimmerParser:
    """A parser for one answer."""
    return GlimmerParser(tools, think)


PARSERS: Final[Mapping[str, Family]] = {"glimmer": Family(make, PRESERVED)}
