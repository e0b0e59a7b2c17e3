"""Calls as Python writes them: `name(key="value", other=[1, 2.5, None])`, constants in JSON's spelling, too."""

import re
from collections.abc import Iterator
from typing import Any, Final

from server.messages import ToolCall
from server.parse.families.family import coerced

_CALL: Final = re.compile(r"([^\s(]+)\((.*)\)", re.DOTALL)
_KEY: Final = re.compile(r"""[^"'()\[\]{},=]+""")
_TOKEN: Final = re.compile(r""""(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|[()\[\]{},:]""", re.DOTALL)
"""A quoted text, ended or not, or a character that may divide what is written."""
_ESCAPE: Final = re.compile(r"""\\([\\"'ntr]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})""")
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r"}
_CONSTANTS: Final = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None, "nil": None,
}  # fmt: skip
_DEEPEST: Final = 64


class _Unreadable(Exception):
    """The text is no call."""


def read_call(text: str) -> ToolCall | None:
    """None if it is something else, or has arguments without keys."""
    found = _CALL.fullmatch(text)
    if found is None:
        return None
    try:
        return ToolCall(found[1], dict(_arguments(found[2])))
    except _Unreadable:
        return None


def read_list(text: str) -> list[ToolCall] | None:
    """The calls of `[f(a=1), g()]`, brackets or not; None if there is none, or something else among them."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    found = [read_call(piece) for piece in _divided(text, ",")]
    calls = [call for call in found if call is not None]
    return calls if calls and len(calls) == len(found) else None


def _arguments(text: str) -> Iterator[tuple[str, Any]]:
    for piece in _divided(text, ","):
        key, sign, value = piece.partition("=")
        if not sign or not _KEY.fullmatch(key.strip()):
            raise _Unreadable
        yield key.strip(), _value(value.strip(), 0)


def _value(text: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise _Unreadable
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    match text[:1], text[-1:]:
        case ('"', '"') | ("'", "'") if len(text) > 1:
            return _ESCAPE.sub(_unescaped, text[1:-1])
        case "[", "]":
            return [_value(item, depth + 1) for item in _divided(text[1:-1], ",")]
        case "{", "}":
            return dict(_member(piece, depth + 1) for piece in _divided(text[1:-1], ","))
        case first, _ if first and first in "+-.0123456789":
            return coerced(text, ["integer", "number"])
        case _:
            return text


def _member(text: str, depth: int) -> tuple[str, Any]:
    colon = next(_places(text, ":"), None)
    if colon is None:
        raise _Unreadable
    key = text[:colon].strip()
    return str(_value(key, depth)) if key[:1] in ('"', "'") else key, _value(text[colon + 1 :].strip(), depth)


def _divided(text: str, mark: str) -> Iterator[str]:
    """The pieces between marks, without blanks around; empty ones left out."""
    start = 0
    for place in (*_places(text, mark), len(text)):
        if piece := text[start:place].strip():
            yield piece
        start = place + 1


def _places(text: str, mark: str) -> Iterator[int]:
    """Where a mark stands in no quotes and no brackets."""
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] == mark and not depth:
            yield token.start()
        elif token[0] in ("(", "[", "{"):
            depth += 1
        elif token[0] in (")", "]", "}"):
            depth = max(0, depth - 1)


def _unescaped(found: re.Match[str]) -> str:
    letter = found[1]
    return chr(int(letter[1:], 16)) if letter[0] == "u" else _ESCAPED.get(letter, letter)
