"""Harmony, the format of gpt-oss: messages with a header that names channel and recipient (spec: prompting §6).

    seek ──<|start|>──▶ header ──<|message|>──▶ body ──<|end|>, <|call|>, <|return|>──▶ seek

The prompt ends inside the first header, or inside the body of a message that the request began. Text without a header
is content; what vanishes is headers and marks.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from server.messages import Message, Tool, ToolCall
from server.parse.families.family import Family, Think, split_held
from server.parse.families.stepwise import Stepwise
from server.parse.parsed import Parsed, Thoughts
from server.parse.scan import load_object
from server.toolnames import identifiers, renamed

_START: Final = "<|start|>"
_MESSAGE: Final = "<|message|>"
_ENDS: Final = ("<|end|>", "<|call|>", "<|return|>")
_CHANNEL: Final = re.compile(r"<\|channel\|>(\S*)")
_FINAL: Final = "<|channel|>final<|message|>"
_FINAL_JSON: Final = tuple(f"<|channel|>final{blank}<|constrain|>json<|message|>" for blank in ("", " "))
_LONGEST: Final = 512
"""A header; what goes on without a body is text."""
_BEGUN: Final = re.compile(r"\s*(?:assistant)?(?:\s|to=[\w.]*|<\|channel\|>\w*|<\|constrain\|>\w*|<\|?\w*\|?\Z)*")
"""A header that the end of the text cut off."""
PRESERVED: Final = (_START, "<|end|>", _MESSAGE, "<|channel|>", "<|constrain|>")


class _State(Enum):
    SEEK = auto()
    HEADER = auto()
    BODY = auto()


class _Header(NamedTuple):
    channel: str = "final"
    recipient: str = ""


class HarmonyParser(Stepwise):
    """One answer. Calls carry the names under which the tools were declared."""

    def __init__(self, tools: Sequence[Tool], last: Message | None) -> None:
        super().__init__()
        self._names = {identifier: name for name, identifier in identifiers(tools).items()}
        self._header = _begun(last)
        self.thoughts: Final = _before_answer(self._header)
        """Marks of what comes before the answer itself."""
        self._state = _State.BODY if self._header else _State.HEADER
        self._call = ""
        self._count = 0
        self._first = True
        """Still in the header that the prompt began."""
        self._between = False
        """Nothing but blanks came since a message ended."""

    def finish(self) -> Parsed:
        """What was held back, and a call whose end was the end of the text."""
        held, self._held = self._held, ""
        if self._state is _State.BODY:
            return self._said(held) + self._ended()
        if self._state is _State.HEADER and not self._first and _BEGUN.fullmatch(held):
            return Parsed()
        return Parsed(held if held.strip() else "")

    def _step(self) -> tuple[Parsed, bool]:
        match self._state:
            case _State.SEEK:
                return self._seek()
            case _State.HEADER:
                return self._read_header()
            case _State.BODY:
                return self._body()

    def _seek(self) -> tuple[Parsed, bool]:
        if self._between:
            self._held = self._held.lstrip()
            self._between = not self._held
        before, mark, rest = self._held.partition(_START)
        if not mark:
            certain, self._held = split_held(self._held, _START)
            return Parsed(certain), False
        self._held, self._state = rest, _State.HEADER
        return Parsed(before.rstrip()), True

    def _read_header(self) -> tuple[Parsed, bool]:
        at = self._held.find(_MESSAGE, 0, _LONGEST)
        if at < 0 and len(self._held) < _LONGEST and not (self._first and _is_plain(self._held)):
            return Parsed(), False
        plain = at < 0 or (self._first and _is_plain(self._held))
        self._header = _Header() if plain else _header(self._held[:at])
        self._held = self._held if plain else self._held[at + len(_MESSAGE) :]
        self._state, self._first = _State.BODY, False
        return Parsed(), True

    def _body(self) -> tuple[Parsed, bool]:
        places = [(at, mark) for mark in (*_ENDS, _START) if (at := self._held.find(mark)) >= 0]
        if not places:
            certain, self._held = split_held(self._held, *_ENDS, _START, blanks=False)
            return self._said(certain), False
        at, mark = min(places)
        said = self._said(self._held[:at]) + self._ended()
        self._held = self._held[at:] if mark == _START else self._held[at + len(mark) :]
        self._state, self._between = _State.SEEK, True
        return said, True

    def _said(self, text: str) -> Parsed:
        """Part of a message's body."""
        assert self._header is not None, "a body has a header"
        if self._header.recipient:
            self._call += text
            return Parsed()
        return Parsed(thinking=text) if self._header.channel == "analysis" else Parsed(text)

    def _ended(self) -> Parsed:
        """The message is over: if it was addressed to somebody, it was a call."""
        if self._header is None or not self._header.recipient:
            return Parsed()
        body, self._call = self._call, ""
        arguments = load_object(body.strip() or "{}")
        if arguments is None:
            return Parsed(body)
        name = self._header.recipient.removeprefix("functions.")
        self._count += 1
        return Parsed(calls=(ToolCall(self._names.get(name, name), arguments, index=self._count - 1),))


def _begun(last: Message | None) -> _Header | None:
    """The message that the end of the conversation leaves open."""
    if last is None or last.role != "assistant":
        return None
    return _Header() if last.content else _Header("analysis") if last.thinking else None


def _before_answer(header: _Header | None) -> Thoughts | None:
    """What comes before the answer, behind the header with which it begins; None if it has begun."""
    if header is None:
        return Thoughts("<|channel|>", _FINAL, _FINAL_JSON)
    return Thoughts("", _FINAL, _FINAL_JSON) if header.channel == "analysis" else None


def _is_plain(text: str) -> bool:
    """Whether that cannot become the rest of a header."""
    start = text.lstrip()
    return bool(start) and not any(start.startswith(mark) or mark.startswith(start) for mark in ("<|", "to="))


def _header(text: str) -> _Header:
    """Channel and recipient; a header may hold the beginning of another one, which then counts."""
    found = _CHANNEL.search(text.replace("<|constrain|>", " <|constrain|>"))
    words = _CHANNEL.sub(" ", text.replace("<|constrain|>", " <|constrain|>")).split()
    recipient = next((word.removeprefix("to=") for word in words if word.startswith("to=")), "")
    return _Header(found[1] if found else "final", recipient)


def make(tools: Sequence[Tool], last: Message | None, think: Think) -> HarmonyParser:
    """A parser for one answer."""
    return HarmonyParser(tools, last)


PARSERS: Final[Mapping[str, Family]] = {"harmony": Family(make, PRESERVED, renamed)}
