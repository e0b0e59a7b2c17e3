"""JSON and argument texts in the forms that built-in renderers write.

    compact   no blanks, `<`, `>` and `&` escaped
    spaced    the same with a blank after each colon and comma
    plain     spaced, nothing escaped that JSON does not require
    indented  compact over many lines, four blanks a level and one after each colon

Objects stand in the order of their members; tools and arguments come as `tooljson` orders them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any, Final, cast

from modelstore.numbers import json_number, listed_number

_UNSAFE: Final = re.compile("[<>&\u2028\u2029]")
_SEPARATORS: Final = re.compile("[\u2028\u2029]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def compact(value: object) -> str:
    """`{"a":1,"b":"\\u003c"}`."""
    return "".join(_pieces(value, "", _UNSAFE))


def spaced(value: object) -> str:
    """`{"a": 1, "b": "\\u003c"}`."""
    return "".join(_pieces(value, " ", _UNSAFE))


def plain(value: object) -> str:
    """`{"a": 1, "b": "<"}`."""
    return "".join(_pieces(value, " ", _SEPARATORS))


def indented(value: object, margin: str = "\n") -> str:
    """`{\\n    "a": 1\\n}`; nothing within empty brackets."""
    within = margin + "    "
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        lines = [f"{within}{compact(key)}: {indented(member, within)}" for key, member in members.items()]
        return f"{{{','.join(lines)}{margin}}}" if lines else "{}"
    if isinstance(value, list):
        lines = [within + indented(item, within) for item in cast("list[object]", value)]
        return f"[{','.join(lines)}{margin}]" if lines else "[]"
    return compact(value)


def in_order_of_keys(value: object) -> Any:
    """The same value, objects sorted at every depth."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return {key: in_order_of_keys(members[key]) for key in sorted(members)}
    if isinstance(value, list):
        return [in_order_of_keys(item) for item in cast("list[object]", value)]
    return value


def argument(value: object) -> str:
    """The text of one argument: a string as it is, lists and objects as compact JSON, numbers as Go prints a double
    (1000000 is `1e+06`, as models of these families have seen it)."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return listed_number(float(value))
    return compact(value)


def _pieces(value: object, blank: str, escaped: re.Pattern[str]) -> Iterator[str]:
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case str():
            yield _string(value, escaped)
        case int() | float():
            yield json_number(float(value))
        case Mapping():
            yield from _object(cast("Mapping[str, object]", value), blank, escaped)
        case list() | tuple():
            yield from _array(cast("Sequence[object]", value), blank, escaped)
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _object(members: Mapping[str, object], blank: str, escaped: re.Pattern[str]) -> Iterator[str]:
    between = "{"
    for key, value in members.items():
        yield f"{between}{_string(key, escaped)}:{blank}"
        yield from _pieces(value, blank, escaped)
        between = "," + blank
    yield "}" if members else "{}"


def _array(items: Sequence[object], blank: str, escaped: re.Pattern[str]) -> Iterator[str]:
    between = "["
    for item in items:
        yield between
        yield from _pieces(item, blank, escaped)
        between = "," + blank
    yield "]" if items else "[]"


def _string(text: str, escaped: re.Pattern[str]) -> str:
    text = encode_basestring(_SURROGATE.sub("\ufffd", text))
    return escaped.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
