"""JSON and argument texts in the forms that built-in renderers write.

    compact   no blanks, `<`, `>` and `&` escaped
    spaced    the same with a blank after each colon and comma
    plain     spaced, nothing escaped that JSON does not require
    indented  compact over many lines, four blanks a level and one after each colon

Objects stand in the order of their members; tools and arguments come as `tooljson` orders them.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from modelstore import canonical
from modelstore.numbers import listed_number

_COMPACT: Final = canonical.Form(doubles=True)
_SPACED: Final = canonical.Form(doubles=True, blank=" ")
_PLAIN: Final = canonical.Form(doubles=True, blank=" ", escaped=canonical.SEPARATORS)


def compact(value: object) -> str:
    """`{"a":1,"b":"\\u003c"}`."""
    return canonical.text(value, _COMPACT)


def spaced(value: object) -> str:
    """`{"a": 1, "b": "\\u003c"}`."""
    return canonical.text(value, _SPACED)


def plain(value: object) -> str:
    """`{"a": 1, "b": "<"}`."""
    return canonical.text(value, _PLAIN)


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
