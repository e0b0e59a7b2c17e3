"""Finds tool calls in the output of a model whose Go template shows how it writes them.

    searching ──tag──▶ calling ──(tag is a bracket: it closed without a call)──▶ done
        └──(tag is a bracket: text came first)───────────────────────────────────▲

All that is known of the format is the tag in front of the first call. From there on a call is a name of a declared
tool and a JSON object, wherever they stand; the text between is dropped. With a bare bracket for a tag nothing but
calls may be in the answer: else it is an ordinary text, or JSON that was asked for, and comes out as such.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast

from server.messages import ToolCall
from server.parse.parsed import Parsed, held_length
from server.parse.scan import BracketScanner, ObjectScanner, load_object

_BRACKETS: Final = ("{", "[")


class _Phase(Enum):
    SEARCHING = auto()
    CALLING = auto()
    DONE = auto()


class ToolCallParser:
    """`tag`: what stands in front of calls. `names`: of the declared tools."""

    def __init__(self, tag: str, names: Iterable[str]) -> None:
        self._tag = tag
        self._names = _Names(names)
        self._phase = _Phase.SEARCHING
        self._buffer = ""
        self._bracket = BracketScanner(tag) if tag in _BRACKETS else None
        self._objects = ObjectScanner()
        self._count = 0

    def feed(self, text: str) -> Parsed:
        if self._phase is _Phase.DONE:
            return Parsed(text)
        self._buffer += text
        content = self._search() if self._phase is _Phase.SEARCHING else ""
        if self._phase is not _Phase.CALLING:
            return Parsed(content)
        return Parsed(content) + self._call()

    def finish(self) -> Parsed:
        held = self._buffer
        if self._phase is _Phase.SEARCHING:
            self._buffer = ""
            return Parsed(held if held.strip() else "")
        if self._phase is _Phase.DONE:
            return Parsed()
        calls = self._take_calls(self._buffer, final=True)
        plain = self._bracket is not None and not self._count
        return Parsed(held if plain else "", calls=tuple(calls))

    # -- before the tag -----------------------------------------------------------------------------------------------

    def _search(self) -> str:
        """The text in front of the tag, or all that cannot be part of one."""
        start = self._buffer.find(self._tag)
        if start < 0:
            start = len(self._buffer) - held_length(self._buffer, self._tag)
        else:
            self._phase = _Phase.CALLING
        content, self._buffer = self._buffer[:start], self._buffer[start:]
        if self._bracket is not None and content.strip():
            content, self._buffer = content + self._buffer, ""
            self._phase = _Phase.DONE
        return content

    # -- behind it ----------------------------------------------------------------------------------------------------

    def _call(self) -> Parsed:
        end = self._bracket.end(self._buffer) if self._bracket is not None and not self._count else None
        if end is None:
            return Parsed(calls=tuple(self._take_calls(self._buffer, final=False)))
        calls = self._take_calls(self._buffer[:end], final=True, rest=self._buffer[end:])
        if self._count:
            return Parsed(calls=(*calls, *self._take_calls(self._buffer, final=False)))
        self._phase = _Phase.DONE
        content, self._buffer = self._buffer, ""
        return Parsed(content)

    def _take_calls(self, text: str, final: bool, rest: str = "") -> list[ToolCall]:
        """Calls in the text, which leaves the buffer up to the end of the last one. `final`: no more text will come."""
        calls: list[ToolCall] = []
        while (name := self._names.first(text, final)) is not None:
            span = self._objects.next_object(text)
            if span is None:
                break
            found = _read(text[slice(*span)], name.text, self._names.all)
            if found is None:
                if name.end <= span[1]:
                    self._names.skip(span[1])
                continue
            calls.append(ToolCall(found.name, found.arguments, index=self._count))
            self._count += 1
            text = text[max(name.end, span[1] - 1) :]
            self._buffer = text + rest
            self._objects = ObjectScanner()
            self._names.restart()
        return calls


# -- names ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Name:
    text: str
    end: int


class _Names:
    """Looks for the first name of a declared tool in a growing text; of names at one place the longest."""

    def __init__(self, names: Iterable[str]) -> None:
        self.all = frozenset(filter(None, names))
        ordered = sorted(self.all, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered)) if ordered else r"(?!)")
        self._longest = max(map(len, self.all), default=0)
        self._pos = 0

    def restart(self) -> None:
        self._pos = 0

    def skip(self, pos: int) -> None:
        """Looks from there on."""
        self._pos = max(self._pos, pos)

    def first(self, text: str, final: bool) -> _Name | None:
        """None if there is none, or if one that begins no later may still become complete."""
        found = self._pattern.search(text, self._pos)
        if found is None:
            self._pos = max(self._pos, len(text) - self._longest + 1)
            return None
        if not final and self._may_grow(text, found.start()):
            return None
        return _Name(found[0], found.end())

    def _may_grow(self, text: str, start: int) -> bool:
        tails = (text[at:] for at in range(max(self._pos, len(text) - self._longest + 1), start + 1))
        return any(name.startswith(tail) and name != tail for tail in tails for name in self.all)


# -- arguments --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    arguments: dict[str, Any]


def _read(text: str, name: str, names: frozenset[str]) -> _Call | None:
    """The call that a JSON object describes, or the object itself as arguments of `name`; None if it is no call."""
    value = load_object(text)
    if value is None:
        return None
    try:
        return _described(value, name, names) or _Call(name, value)
    except _NotACall:
        return None


class _NotACall(Exception):
    """An object that names an undeclared tool, or whose arguments are no object."""


def _described(value: object, name: str, names: frozenset[str]) -> _Call | None:
    """Looks for `{"name": …, "arguments": …}` or `{"<name>": {…}}` in a JSON value, at any depth."""
    if isinstance(value, list):
        found = (_described(item, name, names) for item in cast("list[object]", value))
        return next(filter(None, found), None)
    if not isinstance(value, dict):
        return None
    members = cast("dict[str, object]", value)
    if "name" in members and (call := _named(members, name, names)) is not None:
        return call
    if "name" not in members and isinstance(inner := members.get(name), dict | str):
        arguments = _arguments(cast("object", inner))
        if arguments is not None:
            return _Call(name, arguments)
    found = (_described(item, name, names) for item in members.values())
    return next(filter(None, found), None) if "name" not in members else None


def _named(members: Mapping[str, object], name: str, names: frozenset[str]) -> _Call | None:
    said = members["name"]
    given = members.get("arguments", members.get("parameters"))
    if said not in names:
        if given is not None:
            raise _NotACall
        return None  # arguments that happen to have a name
    arguments = {} if given is None or given == "" else _arguments(given)
    if arguments is None:
        raise _NotACall
    return _Call(cast("str", said), arguments)


def _arguments(value: object) -> dict[str, Any] | None:
    if isinstance(value, str):
        return load_object(value)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
