"""JSON as the reference writes it, byte for byte: so that equal content has an equal digest, and in prompts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Final

from modelstore.numbers import json_number

HTML: Final = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
"""What is escaped beyond the rules of JSON."""
SEPARATORS: Final = re.compile("[\u2028\u2029\ud800-\udfff]")
"""The same where `<`, `>` and `&` stay."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write values."""

    sorted_keys: bool = False
    """Members of objects in the order of their names; else as they come."""
    doubles: bool = False
    """Integers are written as the doubles they become where objects have no declared shape."""
    blank: str = ""
    """Stands behind each colon and comma."""
    escaped: re.Pattern[str] = HTML


_DECLARED: Final = Form()
_FREE: Final = Form(sorted_keys=True, doubles=True)


def encode(value: Any) -> bytes:
    """Compact JSON, objects in the order of their keys, integers exact. Raises `ValueError` for NaN and infinities."""
    return text(value, _DECLARED).encode()


def encode_map(value: Mapping[str, Any]) -> bytes:
    """An object of free shape: keys sorted at every depth, and every number a double."""
    return text(value, _FREE).encode()


def text(value: Any, form: Form) -> str:
    """The JSON text. Raises `ValueError` for NaN and infinities, `TypeError` for what has no JSON form."""
    return "".join(_pieces(value, form))


def _pieces(value: Any, form: Form) -> Iterator[str]:
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case str():
            yield _string(value, form)
        case int() if not form.doubles:
            yield str(value)
        case int() | float():
            yield json_number(float(value))
        case Mapping():
            yield from _object(value, form)  # pyright: ignore[reportUnknownArgumentType]  # keys are checked there
        case list() | tuple():
            yield from _array(value, form)  # pyright: ignore[reportUnknownArgumentType]  # any JSON value
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _object(members: Mapping[Any, Any], form: Form) -> Iterator[str]:
    between = "{"
    for key in sorted(members) if form.sorted_keys else members:
        yield f"{between}{_string(key, form)}:{form.blank}"
        yield from _pieces(members[key], form)
        between = "," + form.blank
    yield "}" if members else "{}"


def _array(items: list[Any] | tuple[Any, ...], form: Form) -> Iterator[str]:
    between = "["
    for item in items:
        yield between
        yield from _pieces(item, form)
        between = "," + form.blank
    yield "]" if items else "[]"


def _string(value: str, form: Form) -> str:
    return form.escaped.sub(escaped, encode_basestring(value))


def escaped(found: re.Match[str]) -> str:
    """What stands in JSON for a character that `HTML` or `SEPARATORS` found."""
    char = found[0]
    return "\\ufffd" if "\ud800" <= char <= "\udfff" else f"\\u{ord(char):04x}"
