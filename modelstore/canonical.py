"""JSON as the reference writes it, byte for byte, so that equal content has an equal digest."""

import re
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any, Final

from modelstore.numbers import json_number

_UNSAFE: Final = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def encode(value: Any) -> bytes:
    """Compact JSON, objects in the order of their keys, integers exact. Raises `ValueError` for NaN and infinities."""
    return "".join(_pieces(value, False)).encode()


def encode_map(value: Mapping[str, Any]) -> bytes:
    """An object of free shape: keys sorted at every depth, and every number a double."""
    return "".join(_pieces(value, True)).encode()


def _pieces(value: Any, free: bool) -> Iterator[str]:
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case str():
            yield _string(value)
        case int() if not free:
            yield str(value)
        case int() | float():
            yield json_number(float(value))
        case Mapping():
            yield from _object(value, free)  # pyright: ignore[reportUnknownArgumentType]  # keys are checked there
        case list() | tuple():
            yield from _array(value, free)  # pyright: ignore[reportUnknownArgumentType]  # any JSON value
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _object(members: Mapping[Any, Any], free: bool) -> Iterator[str]:
    opening = "{"
    for key in sorted(members) if free else members:
        yield f"{opening}{_string(key)}:"
        yield from _pieces(members[key], free)
        opening = ","
    yield "}" if opening == "," else "{}"


def _array(items: list[Any] | tuple[Any, ...], free: bool) -> Iterator[str]:
    opening = "["
    for item in items:
        yield opening
        yield from _pieces(item, free)
        opening = ","
    yield "]" if opening == "," else "[]"


def _string(text: str) -> str:
    return _UNSAFE.sub(_escape, encode_basestring(text))


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return "\\ufffd" if "\ud800" <= char <= "\udfff" else f"\\u{ord(char):04x}"
