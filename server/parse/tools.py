"""Finds tool calls in the output of a model whose Go template shows how it writes them.

    searching ──tag──▶ calling ──(tag is a bracket: it closed without a call)──▶ done
        └──(tag is a bracket: text came first)───────────────────────────────────▲

All that is known of the format is the tag in front of the first call. From there on a call is a name of a declared
tool and a JSON object, wherever they stand. Once there was a call, the text around calls is dropped, as marks that are
not known cannot be told from it, but for JSON objects that are no calls: those are content. Without any call all of the
text is content. With a bare bracket for a tag nothing but calls may be in the answer: else it is an ordinary text, or
JSON that was asked for, and comes out as such.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast

from server.messages import ToolCall
from server.parse.parsed import Parsed, held_length
from server.parse.scan import BracketScanner, ObjectScanner, load_object, objects_in

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
        self._scanned = 0
        """Where the last object ends that is no call."""
        self._unread = ""
        """Such objects since the last call."""
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
        parsed = self._take_calls(held, final=True)
        if not self._count:
            return Parsed(held)
        return parsed + Parsed(self._unread + "".join(objects_in(self._buffer[self._scanned :])))

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
            return self._take_calls(self._buffer, final=False)
        parsed = self._take_calls(self._buffer[:end], final=True, rest=self._buffer[end:])
        if self._count:
            return parsed + self._take_calls(self._buffer, final=False)
        self._phase = _Phase.DONE
        content, self._buffer = self._buffer, ""
        return Parsed(content)

    def _take_calls(self, text: str, final: bool, rest: str = "") -> Parsed:
        """Calls in the text, which leaves the buffer up to the end of the last one. `final`: no more text will come."""
        parsed = Parsed()
        while (name := self._names.first(text, final)) is not None:
            span = self._objects.next_object(text)
            if span is None:
                break
            start, end = span
            found = _read(text[start:end], name.text, self._names.all)
            if not found:
                self._unread += text[start:end]
                self._scanned = end
                if name.end <= end:
                    self._names.skip(end)
                continue
            passed = "".join(objects_in(text[end : name.start])) if name.end > end else ""
            calls = (ToolCall(call.name, call.arguments, index=self._count + at) for at, call in enumerate(found))
            parsed += Parsed(self._unread + passed, calls=tuple(calls))
            self._count += len(found)
            text = text[max(name.end, end - 1) :]
            self._buffer = text + rest
            self._begin()
        return parsed

    def _begin(self) -> None:
        """Looks for the next call from the beginning of the buffer."""
        self._objects = ObjectScanner()
        self._scanned, self._unread = 0, ""
        self._names.restart()


# -- names ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Name:
    text: str
    start: int
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
        return _Name(found[0], *found.span())

    def _may_grow(self, text: str, start: int) -> bool:
        tails = (text[at:] for at in range(max(self._pos, len(text) - self._longest + 1), start + 1))
        return any(name.startswith(tail) and name != tail for tail in tails for name in self.all)


# -- arguments --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    arguments: dict[str, Any]


def _read(text: str, name: str, names: frozenset[str]) -> list[_Call]:
    """The calls that a JSON object describes, or the object itself as arguments of `name`; none if it is no call."""
    value = load_object(text)
    if value is None:
        return []
    try:
        return list(_described(value, name, names)) or [_Call(name, value)]
    except _NotACall:
        return []


class _NotACall(Exception):
    """An object that names an undeclared tool, or whose arguments are no object."""


def _described(value: object, name: str, names: frozenset[str]) -> Iterator[_Call]:
    """Looks for `{"name": …, "arguments": …}` and `{"<name>": {…}}` in a JSON value, at any depth."""
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _described(item, name, names)
    if not isinstance(value, dict):
        return
    members = cast("dict[str, object]", value)
    if "name" in members:
        if (call := _named(members, names)) is not None:
            yield call
        return
    if isinstance(inner := members.get(name), dict | str):
        arguments = _arguments(cast("object", inner))
        if arguments is not None:
            yield _Call(name, arguments)
            return
    for item in members.values():
        yield from _described(item, name, names)


def _named(members: Mapping[str, object], names: frozenset[str]) -> _Call | None:
    said = members["name"]
    given = members.get("arguments", members.get("parameters"))
    if not isinstance(said, str) or said not in names:
        if given is not None:
            raise _NotACall
        return None  # arguments that happen to have a name
    arguments = {} if given is None or given == "" else _arguments(given)
    if arguments is None:
        raise _NotACall
    return _Call(said, arguments)


def _arguments(value: object) -> dict[str, Any] | None:
    if isinstance(value, str):
        return load_object(value)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
