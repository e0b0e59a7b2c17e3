"""The methods of texts that a chat template may call, paid for before they do their work."""

from collections.abc import Mapping, Sized
from typing import Any, Final, cast

from server.prompt.budget import MAX_ITEMS, pay_items, pay_text, weigh
from server.prompt.filters import pay_replace

NAMES: Final = frozenset(
    (
        *("capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map"),
        *("index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric"),
        *("isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition"),
        *("removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip"),
        *("split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill"),
    )
)
"""All but those that make bytes or replace by a table."""
_PADDING: Final = ("center", "ljust", "rjust", "zfill")
_SPLITTING: Final = ("split", "rsplit")
_LINE_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def pay(text: str, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """For calling a method of a text. Raises `TooMuch` where its result would be too long."""
    weigh(text)
    sizes = weigh(args) + weigh(kwargs)
    first = args[0] if args else None
    if name in _PADDING:
        pay_text(len(text) + (first if isinstance(first, int) else 0))
    elif name == "expandtabs":
        width = kwargs.get("tabsize", 8 if first is None else first)
        pay_text(len(text) + text.count("\t") * (width if isinstance(width, int) else 0))
    elif name == "replace" and len(args) > 1:
        pay_replace(text, str(first), str(args[1]))
    elif name == "join":
        pay_text(sizes + (len(cast("list[object]", first)) if isinstance(first, Sized) else 0) * len(text))
    elif name in _SPLITTING:
        pay_items(_pieces(text, kwargs.get("sep", first)))
    elif name == "splitlines":
        pay_items(sum(map(text.count, _LINE_ENDS)))


def _pieces(text: str, separator: object) -> int:
    if isinstance(separator, str) and separator:
        return text.count(separator)
    return len(text.split(None, MAX_ITEMS + 1))
