"""Finds JSON objects in a growing text without reading any of it twice."""

import json
import math
import re
from typing import Any, Final, NoReturn

_PLAIN: Final = re.compile(r'[{}"]')
_QUOTED: Final = re.compile(r'["\\]')
_NESTING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
"""A quoted text, which may have any brackets, or a bracket."""
_DEEPEST: Final = 128
"""Containers within each other, more than any tool takes; answers are written with all of them and a few more."""
_LARGEST: Final = 2**63


class ObjectScanner:
    """Outermost balanced `{…}` of a text. Quotes and backslashes are respected, also outside braces; a stray `}` is not
    counted. `next_object` goes on where it stopped; the text may only grow between calls."""

    def __init__(self, start: int = 0) -> None:
        self._pos = start
        self._depth = 0
        self._start = 0
        self._quoted = False

    def next_object(self, text: str) -> tuple[int, int] | None:
        """Start and end of the next complete one; None until more text comes."""
        while found := (_QUOTED if self._quoted else _PLAIN).search(text, self._pos):
            char = found[0]
            if char == "\\" and found.end() == len(text):
                self._pos = found.start()  # the escaped character is still to come
                return None
            self._pos = found.end() + (char == "\\")
            if char == '"':
                self._quoted = not self._quoted
            elif char == "{":
                self._depth += 1
                if self._depth == 1:
                    self._start = found.start()
            elif char == "}" and self._depth:
                self._depth -= 1
                if not self._depth:
                    return self._start, found.end()
        self._pos = len(text)
        return None


class BracketScanner:
    """The end of the bracketed text that begins a text: `{…}` or `[…]`, quotes and backslashes respected."""

    def __init__(self, opening: str) -> None:
        closing = {"{": "}", "[": "]"}[opening]
        self._plain = re.compile(f'["{re.escape(opening + closing)}]')
        self._opening = opening
        self._pos = 0
        self._depth = 0
        self._quoted = False

    def end(self, text: str) -> int | None:
        """Just behind the closing bracket, or None until it has come."""
        while found := (_QUOTED if self._quoted else self._plain).search(text, self._pos):
            char = found[0]
            if char == "\\" and found.end() == len(text):
                self._pos = found.start()
                return None
            self._pos = found.end() + (char == "\\")
            if char == '"':
                self._quoted = not self._quoted
            elif char != "\\":
                self._depth += 1 if char == self._opening else -1
                if not self._depth:
                    return found.end()
        self._pos = len(text)
        return None


def objects_in(text: str) -> list[str]:
    """What looks like JSON objects; the last one goes up to the end of the text if its own does not come."""
    scanner = ObjectScanner()
    found: list[str] = []
    end = 0
    while span := scanner.next_object(text):
        found.append(text[slice(*span)])
        end = span[1]
    start = text.find("{", end)
    return found if start < 0 else [*found, text[start:]]


def load_object(text: str) -> dict[str, Any] | None:
    """The JSON object, its keys in the order written; None if it is none."""
    value = load(text)
    return value if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType]  # keys are strings


def load(text: str) -> Any:
    """The JSON value; None if it is none, too deep, or has a number beyond all doubles. Integers beyond 64 bits are
    floats."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    return None if _is_deep(text) else value


def _is_deep(text: str) -> bool:
    """Whether JSON has more than so many containers within each other."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    depth = deepest = 0
    for found in _NESTING.finditer(text):
        depth += (found[0] in ("[", "{")) - (found[0] in ("]", "}"))
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


def _integer(text: str) -> int | float:
    digits = len(text.removeprefix("-"))
    value = int(text) if digits < 20 else _LARGEST
    return value if -_LARGEST <= value < _LARGEST else _finite(text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        _refuse(text)
    return value
