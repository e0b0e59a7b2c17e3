"""Reads the first JSON value of a text, and says what is wrong in the words of Go's encoding/json.

The scanner keeps its own stack, so that nesting costs memory and not recursion. Numbers keep their text (`Number`),
because error messages repeat it.
"""

import codecs
import re
from dataclasses import dataclass
from typing import Any, Final

from modelstore.quoting import quote

MAX_DEPTH: Final = 10_000

_SPACE = re.compile(rb"[ \t\r\n]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_ESCAPES: Final = {ord(k): v for k, v in zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True)}
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_LITERALS: Final[dict[int, tuple[bytes, bool | None]]] = {
    ord("t"): (b"true", True),
    ord("f"): (b"false", False),
    ord("n"): (b"null", None),
}


class ScanError(Exception):
    """Base of what can be wrong with the text.

    ScanError
    ├── EmptyText        nothing but white space
    ├── UnexpectedEnd    the text ends inside its first value
    └── InvalidSyntax    a byte that cannot stand where it stands
    """


class EmptyText(ScanError):
    """There is no value."""


class UnexpectedEnd(ScanError):
    """Cut short."""

    def __init__(self) -> None:
        super().__init__("unexpected EOF")


class InvalidSyntax(ScanError):
    """`byte` is the culprit, `where` the phrase that says what was expected of it."""

    def __init__(self, byte: int, where: str) -> None:
        super().__init__(f"invalid character {_quote_byte(byte)} {where}")
        self.byte = byte


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    text: str


@dataclass(slots=True)
class Scanned:
    """The first value of a text: objects as dict, arrays as list, numbers as `Number`."""

    value: Any
    spans: dict[str, tuple[int, int]]
    """Where the text of each member of the outermost object begins and ends."""


def scan(data: bytes) -> Scanned:
    """Raises `ScanError`."""
    return _Scanner(data).run()


def _quote_byte(byte: int) -> str:
    if byte == ord("'"):
        return r"'\''"
    if byte == ord('"'):
        return "'\"'"
    return "'" + quote(chr(byte))[1:-1] + "'"


def _replace_byte(error: UnicodeError) -> tuple[str, int]:
    """One U+FFFD for each byte that is not UTF-8, as Go counts them."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd", error.start + 1


codecs.register_error("go-replace", _replace_byte)


class _Scanner:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at: int = 0
        self._spans: dict[str, tuple[int, int]] = {}

    def run(self) -> Scanned:
        self._skip_space()
        if self._at == len(self._data):
            raise EmptyText
        return Scanned(self._value(), self._spans)

    def _value(self) -> Any:
        """The value that begins here; containers are built on a stack of (container, key under way, its start)."""
        stack: list[tuple[dict[str, Any] | list[Any], str, int]] = []
        key, start = "", 0
        while True:
            opened = self._open()
            if opened is not None:
                if len(stack) == MAX_DEPTH:
                    raise InvalidSyntax(self._data[self._at - 1], "exceeded max depth")
                if self._closes(opened, first=True):
                    value: Any = opened
                else:
                    stack.append((opened, key, start))
                    key = self._key() if isinstance(opened, dict) else ""
                    start = self._skip_space()
                    continue
            else:
                value = self._scalar()
            while stack:
                container, outer_key, outer_start = stack[-1]
                self._store(container, key, value, start if len(stack) == 1 else -1)
                if not self._closes(container, first=False):
                    break
                stack.pop()
                key, start, value = outer_key, outer_start, container
            else:
                return value
            key = self._key() if isinstance(stack[-1][0], dict) else ""
            start = self._skip_space()

    def _store(self, container: dict[str, Any] | list[Any], key: str, value: Any, start: int) -> None:
        if isinstance(container, list):
            container.append(value)
            return
        container[key] = value
        if start >= 0:
            self._spans[key] = (start, self._at)

    def _open(self) -> dict[str, Any] | list[Any] | None:
        """A new container if one opens here."""
        byte = self._peek()
        if byte == ord("{"):
            self._at += 1
            return {}
        if byte == ord("["):
            self._at += 1
            return []
        return None

    def _closes(self, container: dict[str, Any] | list[Any], *, first: bool) -> bool:
        """Step over the bracket that ends the container, or the comma that continues it."""
        self._skip_space()
        byte = self._peek()
        if byte == (ord("}") if isinstance(container, dict) else ord("]")):
            self._at += 1
            return True
        if first:
            return False
        if byte != ord(","):
            where = "after object key:value pair" if isinstance(container, dict) else "after array element"
            raise InvalidSyntax(byte, where)
        self._at += 1
        return False

    def _key(self) -> str:
        self._skip_space()
        byte = self._peek()
        if byte != ord('"'):
            raise InvalidSyntax(byte, "looking for beginning of object key string")
        key = self._string()
        self._skip_space()
        byte = self._peek()
        if byte != ord(":"):
            raise InvalidSyntax(byte, "after object key")
        self._at += 1
        return key

    def _scalar(self) -> Any:
        byte = self._peek()
        if byte == ord('"'):
            return self._string()
        if byte == ord("-") or ord("0") <= byte <= ord("9"):
            return self._number()
        if byte in _LITERALS:
            return self._literal(*_LITERALS[byte])
        raise InvalidSyntax(byte, "looking for beginning of value")

    def _literal(self, word: bytes, value: bool | None) -> bool | None:
        for expected in word:
            byte = self._peek()
            if byte != expected:
                raise InvalidSyntax(byte, f"in literal {word.decode()} (expecting '{chr(expected)}')")
            self._at += 1
        return value

    def _number(self) -> Number:
        match = _NUMBER.match(self._data, self._at)
        if match is None:
            self._at += 1
            raise InvalidSyntax(self._peek(), "in numeric literal")
        self._at = match.end()
        following = self._data[self._at : self._at + 1]
        if following == b"." and match[1] is None and match[2] is None:
            self._at += 1
            raise InvalidSyntax(self._peek(), "after decimal point in numeric literal")
        if following in (b"e", b"E") and match[2] is None:
            self._at += 1
            if self._peek() in b"+-":
                self._at += 1
            raise InvalidSyntax(self._peek(), "in exponent of numeric literal")
        return Number(match[0].decode())

    def _string(self) -> str:
        """The string whose opening quote is here."""
        self._at += 1
        parts: list[str] = []
        while True:
            match = _PLAIN.match(self._data, self._at)
            assert match is not None
            if match[0]:
                parts.append(match[0].decode(errors="go-replace"))
            self._at = match.end()
            byte = self._peek()
            if byte == ord('"'):
                self._at += 1
                return "".join(parts)
            if byte != ord("\\"):
                raise InvalidSyntax(byte, "in string literal")
            self._at += 1
            parts.append(self._escape())

    def _escape(self) -> str:
        """What follows a backslash."""
        byte = self._peek()
        self._at += 1
        if byte in _ESCAPES:
            return _ESCAPES[byte]
        if byte != ord("u"):
            raise InvalidSyntax(byte, "in string escape code")
        unit = self._hex()
        if 0xD800 <= unit < 0xDC00 and self._data[self._at : self._at + 2] == b"\\u":
            before = self._at
            self._at += 2
            low = self._hex()
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            self._at = before
        return "\ufffd" if 0xD800 <= unit < 0xE000 else chr(unit)

    def _hex(self) -> int:
        begin = self._at
        for _ in range(4):
            byte = self._peek()
            if byte not in _HEX:
                raise InvalidSyntax(byte, "in \\u hexadecimal character escape")
            self._at += 1
        return int(self._data[begin : self._at], 16)

    def _peek(self) -> int:
        if self._at >= len(self._data):
            raise UnexpectedEnd
        return self._data[self._at]

    def _skip_space(self) -> int:
        match = _SPACE.match(self._data, self._at)
        assert match is not None
        self._at = match.end()
        return self._at
