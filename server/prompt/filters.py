"""The filters and tests of chat templates, each paid for (`budget`) before it does its work.

Jinja's filters for laying out pages are left out: no chat template needs them, and several make large texts of small
ones. What is left does what it does in Hugging Face's renderer.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import islice
from typing import Any, Final, cast

from jinja2 import Environment, pass_environment
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.tests import TESTS

from server.prompt.budget import (
    MAX_ITEMS,
    MAX_TEXT,
    TooMuch,
    pay_items,
    pay_listing,
    pay_result,
    pay_text,
    spend,
    weigh,
)

_Function = Callable[..., Any]

_FILTERS: Final = cast("dict[str, _Function]", FILTERS)
_INSTANT: Final = ("attr", "count", "d", "default", "first", "items", "last", "length")
"""Take no longer for more."""
_LISTING: Final = ("list", "map", "reject", "rejectattr", "reverse", "select", "selectattr")
"""Go through the items once, without a look inside."""
_SORTING: Final = ("dictsort", "groupby", "max", "min", "sort", "unique")
"""Compare items with each other."""
_PRINTING: Final = (
    *("abs", "capitalize", "e", "escape", "float", "forceescape", "int", "lower", "safe", "string", "title", "trim"),
    *("truncate", "upper", "urlencode"),
)
"""Look at everything and may print it."""
_COMPARING: Final = (
    *("!=", "<", "<=", "==", ">", ">=", "eq", "equalto", "ge", "greaterthan", "gt", "in", "le", "lessthan", "lt", "ne"),
)
_CALL: Final = 2
"""Steps of calling any filter."""
_SORTING_COST: Final = 16
MAX_PLACES: Final = 64
"""Decimal places, powers, blanks of an indentation."""
_SIMPLE: Final = re.compile(r"%(?:\(\w+\))?[-+ 0#]*\d{0,3}(?:\.\d{0,3})?[sdifgexXr%]")
"""What may follow a per cent sign."""
_WIDEST: Final = 1000
_SHORT: Final = 64
"""Characters of a text that costs nothing."""


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as Hugging Face's templates expect it: blanks after commas and colons, order kept, no escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """`to_json`, its result bounded while it is made: every line may be indented as deep as the value is."""
    if (indent if isinstance(indent, int) else len(indent or "")) > MAX_PLACES or weigh(separators) > MAX_PLACES:
        raise TooMuch("an indentation or separator that is too wide")
    if indent is None:
        return to_json(value, ensure_ascii, None, separators, sort_keys)
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )  # fmt: skip
    pieces: list[str] = []
    size = 0
    for piece in encoder.iterencode(value):
        size += len(piece)
        pay_text(len(piece))
        pieces.append(piece)
        if size > MAX_TEXT:
            raise TooMuch("an indented JSON text that is too long")
    return "".join(pieces)


@pass_environment
def _join(environment: Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    """Jinja's `join`, its result bounded."""
    if attribute is not None:
        value = map(make_attrgetter(environment, attribute), value)
    items = [str(item) for item in value]
    pay_text(sum(map(len, items)) + len(items) * len(str(d)))
    return str(d).join(items)


@pass_environment
def _sum(environment: Environment, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    """Jinja's `sum`, every result on the way bounded."""
    if attribute is not None:
        iterable = map(make_attrgetter(environment, attribute), iterable)
    total = start
    pay_listing(iterable)
    for item in iterable:
        total = pay_result(total + item)
    return total


def _replace(text: object, old: object, new: object, count: int | None = None) -> str:
    """Jinja's `replace`, its result bounded."""
    source, was, becomes = str(text), str(old), str(new)
    pay_replace(source, was, becomes)
    return source.replace(was, becomes, -1 if count is None else count)


def pay_replace(text: str, old: str, new: str) -> None:
    """For replacing all of a text in another."""
    pay_text(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _indent(text: object, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Jinja's `indent`, its result bounded."""
    margin = width if isinstance(width, str) else " " * min(width, 256)
    shown = str(text)
    lines = shown.split("\n")
    pay_text(len(shown) + len(lines) * len(margin))
    indented = [margin + line if line or blank else line for line in lines]
    return "\n".join(indented if first else [lines[0], *indented[1:]])


def _round(value: Any, precision: int = 0, method: str = "common") -> Any:
    """Jinja's `round`; many places would make it raise 10 to their number."""
    if abs(precision) > MAX_PLACES:
        raise TooMuch(f"a number of {precision} places")
    return _FILTERS["round"](value, precision, method)


def _format(value: object, *args: Any, **kwargs: Any) -> str:
    """Jinja's `format`: Python's % with all its arguments."""
    return percent(str(value), kwargs or args)


def percent(form: str, values: Any) -> str:
    """Python's text formatting with %, for plain conversions of less than a thousand places."""
    if "%" in _SIMPLE.sub("", form):
        raise TooMuch("a conversion with % that is not plain")
    pay_text(len(form) + form.count("%") * (weigh(values) + _WIDEST))
    return form % values


def filters() -> dict[str, _Function]:
    """By name, as templates call them."""
    chosen: dict[str, _Function] = {name: _paid(_FILTERS[name], _pay_nothing) for name in _INSTANT}
    chosen |= {name: _paid(_FILTERS[name], _pay_listing) for name in _LISTING}
    chosen |= {name: _paid(_FILTERS[name], _pay_sorting) for name in _SORTING}
    chosen |= {name: _paid(_FILTERS[name], _pay_weight) for name in _PRINTING}
    own: dict[str, _Function] = {
        "tojson": _tojson,
        "join": _join,
        "sum": _sum,
        "replace": _replace,
        "indent": _indent,
        "round": _round,
        "format": _format,
    }
    return chosen | {name: _paid(function, _pay_weight) for name, function in own.items()}


def tests() -> dict[str, _Function]:
    """All of Jinja's, those that compare paid for."""
    return {name: _paid(test, _pay_weight) if name in _COMPARING else test for name, test in TESTS.items()}


def _paid(function: _Function, pay: Callable[..., None]) -> _Function:
    """The function with `pay` called for its arguments first; keeps the marks by which Jinja knows what to pass."""
    lists = pay in (_pay_weight, _pay_sorting)

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if lists:
            args = tuple(listed(one) for one in args)
        spend(_CALL)
        pay([one for one in args if not isinstance(one, Context | Environment | EvalContext)], kwargs)
        return pay_result(function(*args, **kwargs))

    return run


def listed(value: Any) -> Any:
    """What can be weighed: a list in place of an iterator, its items paid for."""
    if not isinstance(value, Iterator):
        return value
    items = list(islice(cast("Iterator[Any]", value), MAX_ITEMS + 1))
    pay_items(len(items))
    return items


def _pay_nothing(args: list[Any], kwargs: Mapping[str, Any]) -> None:
    pass


def _pay_listing(args: list[Any], kwargs: Mapping[str, Any]) -> None:
    pay_listing(args[0] if args else None)


def _pay_weight(args: list[Any], kwargs: Mapping[str, Any]) -> None:
    for one in (*args, *kwargs.values()):
        if one.__class__ is not str or len(one) > _SHORT:
            weigh(one)


def _pay_sorting(args: list[Any], kwargs: Mapping[str, Any]) -> None:
    weigh(args[0], times=_SORTING_COST)
