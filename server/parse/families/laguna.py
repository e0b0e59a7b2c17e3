"""Poolside's Laguna: reasoning and text that may take turns, calls as pairs of keys and values or as JSON.

    thinking ──</think>──▶ text ──<think>──▶ thinking
        └──<tool_call>──▶ trial ◀──<tool_call>, <user>, {──┘

A trial is text that may turn out to be a call. Calls of declared tools are also taken without their marks, as an object
at the beginning of a line, and between the marks of a user's turn, which models confuse with those of a call.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.parse.families import jsoncalls, pairs
from server.parse.families.family import Family, Think, split_held
from server.parse.families.qwen3coder import MARKS as CALL
from server.parse.families.stepwise import Stepwise
from server.parse.parsed import Parsed, Thoughts, held_length
from server.parse.scan import BracketScanner, load_object

_THINK: Final = ("<think>", "</think>")
_USER: Final = ("<user>", "</user>")
_BRACES: Final = ("{", "}")
_CLOSING: Final[Mapping[str, str]] = dict((CALL, _USER, _BRACES))
_NAMED: Final = re.compile(r"\s*([^\s<>{}]+)\s*(\{.*\})\s*", re.DOTALL)
_NAME: Final = re.compile(r"\s*([^\s<{]*)")
_KEYS: Final = ('"name"', '"arguments"')
"""What an object that is a call begins with."""
_ALIASES: Final = {"read_file": "read", "write_file": "write", "edit_file": "edit", "web_fetch": "webfetch"}
"""Names that models know better than those of the tools."""
PRESERVED: Final = (*_THINK, *CALL, *_USER, *pairs.MARKS)


class _Place(Enum):
    THINKING = auto()
    TEXT = auto()
    TRIAL = auto()


class LagunaParser(Stepwise):
    """One answer. Reasoning is left out unless the model was asked for some (`thinks`); `opened`: the answer begins
    inside it."""

    def __init__(self, tools: Sequence[Tool], *, thinks: bool, opened: bool) -> None:
        super().__init__()
        self.thoughts: Final = Thoughts("", _THINK[1]) if opened else None
        self._calls = _Calls(tools)
        self._thinks = thinks
        self._place = _Place.THINKING if opened else _Place.TEXT
        self._any_tools = bool(tools)
        self._marks = (CALL[0], _THINK[0], *(_USER[:1] if tools else ()))
        self._fresh = True
        """Nothing but blanks came since this part began."""
        self._trial = _Trial("", "")
        self._count = 0

    def finish(self) -> Parsed:
        """What was held back, and a last call whose end was the end of the text."""
        held, self._held = self._held, ""
        if self._place is _Place.THINKING:
            return self._thought(held.rstrip())
        if self._place is _Place.TEXT:
            return Parsed(held.rstrip())
        trial = self._trial
        body = held[: len(held) - held_length(held, _CLOSING[trial.opening])]
        calls = None if trial.opening == _BRACES[0] else self._calls.read_unfinished(body)
        return Parsed(f"{trial.blanks}{trial.opening}{held}".rstrip()) if calls is None else self._counted(calls)

    def _step(self) -> tuple[Parsed, bool]:
        match self._place:
            case _Place.THINKING:
                return self._think()
            case _Place.TEXT:
                return self._say()
            case _Place.TRIAL:
                return self._try()

    def _think(self) -> tuple[Parsed, bool]:
        if not self._begins(_THINK[0]):
            return Parsed(), False
        places = [(at, mark) for mark in (_THINK[1], CALL[0]) if (at := self._held.find(mark)) >= 0]
        if not places:
            certain, self._held = split_held(self._held, _THINK[1], CALL[0])
            self._fresh = False
            return self._thought(certain), False
        at, mark = min(places)
        thinking, self._held = self._held[:at].rstrip(), self._held[at + len(mark) :]
        if mark == CALL[0]:
            self._place, self._trial = _Place.TRIAL, _Trial(mark, "")
        else:
            self._place = _Place.TEXT
        self._fresh = True
        return self._thought(thinking), True

    def _say(self) -> tuple[Parsed, bool]:
        if not self._begins(_THINK[1]):
            return Parsed(), False
        found = self._mark()
        if found is None:
            certain, self._held = split_held(self._held, *self._marks)
            self._fresh = self._fresh and not certain
            return Parsed(certain), False
        at, mark = found
        head, self._held = self._held[:at], self._held[at + len(mark) :]
        if mark == _THINK[0]:
            self._place, self._fresh = _Place.THINKING, True
            return Parsed(head), True
        said = head.rstrip()
        self._place, self._trial = _Place.TRIAL, _Trial(mark, head[len(said) :])
        self._fresh = self._fresh and not said
        return Parsed(said), True

    def _try(self) -> tuple[Parsed, bool]:
        trial = self._trial
        if not self._calls.may_begin(trial.opening, self._held):
            return self._said(trial.opening), True
        end = trial.end(self._held)
        if end is None:
            return Parsed(), False
        body, self._held = self._held[:end], self._held[end + len(_CLOSING[trial.opening]) :]
        calls = self._calls.read(trial.opening, body)
        if calls is None:
            return self._said(f"{trial.opening}{body}{_CLOSING[trial.opening]}"), True
        self._place, self._fresh = _Place.TEXT, True
        return self._counted(calls), True

    def _begins(self, echo: str) -> bool:
        """Drops blanks in front of a part, and a mark that was written a second time; False while that is open."""
        if self._fresh:
            self._held = self._held.lstrip()
            while self._held.startswith(echo):
                self._held = self._held[len(echo) :].lstrip()
        return not self._fresh or not echo.startswith(self._held)

    def _mark(self) -> tuple[int, str] | None:
        """The first mark; a brace only where a line begins."""
        places = [(at, mark) for mark in self._marks if (at := self._held.find(mark)) >= 0]
        brace = (("\n" if self._fresh else " ") + self._held).find("\n{")
        if self._any_tools and brace >= 0:
            places.append((brace, _BRACES[0]))
        return min(places, default=None)

    def _said(self, text: str) -> Parsed:
        """The trial was no call."""
        self._place, self._fresh = _Place.TEXT, False
        return Parsed(self._trial.blanks + text)

    def _thought(self, text: str) -> Parsed:
        return Parsed(thinking=text if self._thinks else "")

    def _counted(self, calls: Sequence[ToolCall]) -> Parsed:
        numbered = tuple(replace(call, index=self._count + at) for at, call in enumerate(calls))
        self._count += len(numbered)
        return Parsed(calls=numbered)


class _Trial:
    """What may be a call: its opening mark, the blanks in front of it, and how far its end was looked for."""

    def __init__(self, opening: str, blanks: str) -> None:
        self.opening: Final = opening
        self.blanks: Final = blanks
        self._scanner = BracketScanner("{")
        self._searched = 0

    def end(self, text: str) -> int | None:
        """Where the closing mark begins in the text behind the opening one; None until it has come."""
        if self.opening == _BRACES[0]:
            end = self._scanner.end("{" + text)
            return None if end is None else end - 2
        closing = _CLOSING[self.opening]
        at = text.find(closing, self._searched)
        self._searched = max(0, len(text) - len(closing) + 1)
        return None if at < 0 else at


class _Calls:
    """Reads calls of tools, and of those that the model knows by another name."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        declared = {tool.name for tool in tools}
        self._names = {alias: name for alias, name in _ALIASES.items() if name in declared and alias not in declared}
        known = {name: alias for alias, name in self._names.items()}
        aliased = [replace(tool, name=known[tool.name]) for tool in tools if tool.name in known]
        self._tools = [*tools, *aliased]
        self._declared = declared | self._names.keys()

    def may_begin(self, opening: str, text: str) -> bool:
        """Whether the text behind an opening mark can still become a call."""
        if opening == CALL[0]:
            return True
        if opening == _BRACES[0]:
            start = text.lstrip()
            return any(start.startswith(key) or key.startswith(start) for key in _KEYS)
        found = _NAME.match(text)
        if found is None or found.end() == len(text):
            return any(name.startswith(text.lstrip()) for name in self._declared)
        return found[1] in self._declared

    def read(self, opening: str, body: str) -> list[ToolCall] | None:
        """The calls in the text between the marks; None where it is none."""
        calls = self._json(f"{{{body}}}" if opening == _BRACES[0] else body.strip())
        if calls is None and opening != _BRACES[0]:
            calls = pairs.read_call(body, self._tools)
        if calls is None or (opening != CALL[0] and calls[0].name not in self._declared):
            return None
        return self._renamed(calls)

    def read_unfinished(self, body: str) -> list[ToolCall] | None:
        """The call of an answer that ends without the closing mark: only a whole one, of a declared tool."""
        calls = self._json(body.strip())
        if calls is None:
            calls = pairs.read_unfinished(body, self._tools)
        if calls is None or calls[0].name not in self._declared:
            return None
        return self._renamed(calls)

    def _json(self, text: str) -> list[ToolCall] | None:
        """`{"name": …, "arguments": {…}}`, or a name and the arguments."""
        if text.startswith("{"):
            return jsoncalls.read_call(text)
        found = _NAMED.fullmatch(text)
        arguments = load_object(found[2]) if found else None
        return None if found is None or arguments is None else [ToolCall(found[1], arguments)]

    def _renamed(self, calls: Sequence[ToolCall]) -> list[ToolCall]:
        return [replace(call, name=self._names.get(call.name, call.name)) for call in calls]


def make(tools: Sequence[Tool], last: Message | None, think: Think) -> LagunaParser:
    """For Laguna v2, which goes on with any answer that the request began."""
    goes_on = last is not None and last.role == "assistant"
    return LagunaParser(tools, thinks=bool(think), opened=bool(think) and not goes_on)


def make_v8(tools: Sequence[Tool], last: Message | None, think: Think) -> LagunaParser:
    """For Laguna v8, which always begins an answer."""
    return LagunaParser(tools, thinks=bool(think), opened=bool(think))


PARSERS: Final[Mapping[str, Family]] = {
    "laguna": Family(make, PRESERVED),
    "poolside-v1": Family(make_v8, PRESERVED),
}
