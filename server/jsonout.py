"""JSON answers with the bytes of Go's encoding/json: its escapes, its numbers, its times.

Answers are built as dicts in the order of their fields. `omit_empty` drops what is not to be shown. Values of free
shape (metadata, arguments of tools) go through `free`, because their floats must print as Go prints them.
"""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, cast

import orjson

from modelstore.numbers import json_number

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_FOREVER: Final = timedelta(microseconds=(2**63 - 1) // 1000)
"""How far away "never" is."""
_ESCAPES: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)  # characters that stand only inside of strings, so they can be replaced in the finished text
_SEPARATOR: Final = b"\xe2\x80"
"""What U+2028 and U+2029 begin with."""
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


def dumps(value: Any) -> bytes:
    """Compact JSON. Half of a surrogate pair becomes U+FFFD."""
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        text = orjson.dumps(_repair(value))
    return _escaped(text)


def lines(values: Sequence[Any]) -> bytes:
    """Each value on a line of its own."""
    try:
        text = b"".join([orjson.dumps(value, None, orjson.OPT_APPEND_NEWLINE) for value in values])
    except orjson.JSONEncodeError:
        return b"".join([dumps(value) + b"\n" for value in values])
    return _escaped(text)


def with_rows(members: Mapping[str, Any], name: str, rows: Sequence[bytes], more: Mapping[str, Any]) -> bytes:
    """An object whose member `name` is an array of JSON texts, taken as they are; `members` stand in front of it, and
    `more` behind. Millions of digits are not looked through for what is to be escaped."""
    head = b'%s%s"%s":[' % (dumps(members)[:-1], b"," if members else b"", name.encode())
    tail = b"]%s%s" % (b"," if more else b"", dumps(more)[1:])
    return b"".join((head, b",".join(rows), tail))


def _escaped(text: bytes) -> bytes:
    # Looking for each is many times quicker than a regular expression that looks for any.
    if b"<" in text or b">" in text or b"&" in text or _SEPARATOR in text:
        for plain, escaped in _ESCAPES:
            text = text.replace(plain, escaped)
    return text


def omit_empty(**members: Any) -> dict[str, Any]:
    """The members that say something: not false, zero, nothing, or empty."""
    return {name: value for name, value in members.items() if value}


def number(value: float) -> orjson.Fragment:
    """A float as Go prints it. Raises `ValueError` if it is not finite."""
    return orjson.Fragment(json_number(value))


def free(value: Any, *, keep_order: bool = False) -> Any:
    """A value of free shape, keys sorted bytewise; `keep_order` leaves those of the outermost object alone."""
    if type(value) is float:
        return number(value)
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        order = members if keep_order else sorted(members, key=str.encode)
        return {key: free(members[key]) for key in order}
    if isinstance(value, (list, tuple)):
        items = cast("list[Any] | tuple[Any, ...]", value)
        if items and type(items[0]) is str:  # vocabularies are long, and need no change
            return items
        return [free(item) for item in items]
    return value


def utc_now() -> str:
    """This moment, to the nanosecond, as `created_at` shows it."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_utc_second(seconds)}.{nanoseconds:09d}".rstrip("0").removesuffix(".") + "Z"


@lru_cache(maxsize=1)
def _utc_second(second: int) -> str:
    """Every token of a stream has a time; its text changes once a second but for the fraction."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def local_time(moment: datetime) -> str:
    """A time in its own zone, as `modified_at` shows it."""
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + _fraction(moment.microsecond, 6)
    offset = moment.utcoffset()
    if not offset:
        return text + "Z"
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{text}{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def expiry(seconds: float | None) -> str:
    """A moment in Unix time as `expires_at` shows it, in the zone of this machine; None lies some 292 years ahead."""
    if seconds is None:
        return local_time((datetime.now(UTC) + _FOREVER).astimezone())
    return local_time(datetime.fromtimestamp(seconds, UTC).astimezone())


def _fraction(value: int, digits: int) -> str:
    return f".{value:0{digits}d}".rstrip("0") if value else ""


def _repair(value: Any) -> Any:
    if isinstance(value, str):
        return _HALF_PAIR.sub("\ufffd", value)
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {_repair(key): _repair(member) for key, member in members.items()}
    if isinstance(value, (list, tuple)):
        return [_repair(item) for item in cast("list[Any]", value)]
    return value
