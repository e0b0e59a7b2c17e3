"""Calls as Gemma models write them: `call:NAME{key:value,…}`, JSON with bare keys and marks of their own for quotes.

Models make mistakes in it. What they are known to forget is supplied: a closing quote at the end, closing brackets,
quotes around a text where the tool takes one.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.messages import Tool, ToolCall
from server.parse.families.family import types_of

_CALL: Final = re.compile(r"\s*call:([^{}]*)\{")
_KEY: Final = re.compile(r"""\s*([^:,{}\[\]"']+?)\s*:""")
_LITERAL: Final = re.compile(r"(true|false|null)\b|-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NEXT: Final = re.compile(r"\s*(?=[,}\]]|\Z)")
"""What may follow a value."""
_SINGLE: Final = re.compile(r"'(.*?)'(?=\s*(?:[,}\]]|\Z))", re.DOTALL)
_JSON: Final = json.JSONDecoder(strict=False)
_LARGEST: Final = 2**63
_DEEPEST: Final = 64
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What tells the families apart."""

    quote: str
    """The mark on either side of a text."""
    words: bool
    """A text needs no quotes; then there are no other quotes, and no null."""


class _Unreadable(Exception):
    """The text is no call."""


def read_call(body: str, dialect: Dialect, tools: Sequence[Tool], *, whole: bool = True) -> ToolCall | None:
    """The call that is written between the marks; None where it cannot be read. Without `whole` the text may end in
    the middle of the call, so that nothing may be supplied at its end."""
    found = _CALL.match(body)
    if found is None or not found[1].strip():
        return None
    name, inner = found[1].strip(), body[found.end() :].rstrip()
    if inner.endswith("}"):
        inner = inner[:-1]
    elif not whole:
        return None
    try:
        return ToolCall(name, _Reader(inner, dialect, tools, name, whole).arguments())
    except _Unreadable:
        return None


class _Reader:
    """Reads the text between the outermost brackets once, from left to right."""

    def __init__(self, text: str, dialect: Dialect, tools: Sequence[Tool], name: str, whole: bool) -> None:
        self._text = text
        self._quote = dialect.quote
        self._words = dialect.words
        self._types = {key: types_of(tools, name, key) for tool in tools if tool.name == name for key in _keys(tool)}
        known = "|".join(map(re.escape, self._types))
        self._next_known = re.compile(rf",\s*(?:{known})\s*:" if known else r"(?!)")
        self._whole = whole
        self._at = 0

    def arguments(self) -> dict[str, Any]:
        """All of it. Raises `_Unreadable`."""
        members: dict[str, Any] = {}
        while not self._ends():
            key = self._key()
            start = self._at
            try:
                members[key] = self._value(0)
                self._separate()
            except _Unreadable:
                self._at = start
                members[key] = self._unquoted(key)
                self._separate()
        return members

    # -- steps --------------------------------------------------------------------------------------------------------

    def _ends(self) -> bool:
        self._blanks()
        return self._at == len(self._text)

    def _blanks(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

    def _takes(self, mark: str) -> bool:
        self._blanks()
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _separate(self, closing: str = "") -> bool:
        """Past a comma, or whether this is where `closing` stands; the end of the text will do if it was forgotten."""
        if self._ends():
            if closing and not self._whole:
                raise _Unreadable
            return bool(closing)
        if closing and self._takes(closing):
            return True
        if not self._takes(","):
            raise _Unreadable
        return False

    def _key(self) -> str:
        self._blanks()
        if self._text.startswith((self._quote, '"'), self._at):
            key = self._quoted(1) if self._text.startswith(self._quote, self._at) else self._json_text()
            if not self._takes(":"):
                raise _Unreadable
            return key
        found = _KEY.match(self._text, self._at)
        if found is None:
            raise _Unreadable
        self._at = found.end()
        return found[1]

    # -- values -------------------------------------------------------------------------------------------------------

    def _value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise _Unreadable
        self._blanks()
        if self._text.startswith(self._quote, self._at):
            return self._quoted(depth)
        first = self._text[self._at : self._at + 1]
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._list(depth)
        if not self._words and first == '"':
            return self._json_text()
        if not self._words and first == "'":
            return self._matched(_SINGLE)[1]
        found = _LITERAL.match(self._text, self._at)
        if found and _NEXT.match(self._text, found.end()) and not (self._words and found[0] == "null"):
            self._at = found.end()
            return _number(found) if found[1] is None else _CONSTANTS[found[0]]
        if self._words:
            return self._word()
        raise _Unreadable

    def _object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        members: dict[str, Any] = {}
        done = self._takes("}")
        while not done:
            key = self._key()
            members[key] = self._value(depth + 1)
            done = self._separate("}") or self._takes("}")
        return members

    def _list(self, depth: int) -> list[Any]:
        self._at += 1
        items: list[Any] = []
        done = self._takes("]")
        while not done:
            items.append(self._value(depth + 1))
            done = self._separate("]") or self._takes("]")
        return items

    def _quoted(self, depth: int) -> str:
        """A text between marks; one that never ends goes up to the brackets that close what is open."""
        start = self._at + len(self._quote)
        end = self._text.find(self._quote, start)
        if end >= 0:
            self._at = end + len(self._quote)
            return self._text[start:end]
        if not self._whole:
            raise _Unreadable
        text = self._text[start:]
        for _ in range(depth):
            if text.rstrip().endswith(("}", "]")):
                text = text.rstrip()[:-1]
        self._at = start + len(text)
        return text

    def _json_text(self) -> str:
        try:
            value, self._at = _JSON.raw_decode(self._text, self._at)
        except ValueError:
            raise _Unreadable from None
        return value

    def _word(self) -> str:
        """Up to the comma or bracket that ends it; brackets inside it, and quoted texts, are part of it."""
        start = self._at
        depth = 0
        while self._at < len(self._text):
            char = self._text[self._at]
            if self._text.startswith(self._quote, self._at):
                self._quoted(0)
                continue
            if not depth and char in ",}]":
                break
            depth += (char in "{[") - (char in "}]")
            self._at += 1
        if not self._text[start : self._at].strip():
            raise _Unreadable
        return self._text[start : self._at].strip()

    def _unquoted(self, key: str) -> str:
        """A text without quotes, for a tool that takes one: up to the next argument."""
        if self._words or "string" not in self._types.get(key, []):
            raise _Unreadable
        found = self._next_known.search(self._text, self._at)
        start, self._at = self._at, found.start() if found else len(self._text)
        text = self._text[start : self._at].strip()
        if self._quote in text:
            raise _Unreadable
        return text

    def _matched(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _Unreadable
        self._at = found.end()
        return found


def _keys(tool: Tool) -> Sequence[str]:
    return list(tool.parameters.properties or ())


def _number(found: re.Match[str]) -> int | float:
    if not found[2] and not found[3] and len(found[0]) <= 20 and abs(int(found[0])) < _LARGEST:
        return int(found[0])
    value = float(found[0])
    if not math.isfinite(value):
        raise _Unreadable
    return int(value) if value.is_integer() and abs(value) < _LARGEST else value
