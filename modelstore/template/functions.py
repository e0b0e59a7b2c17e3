"""The functions that a template may call: those of Go's text/template, and four more for prompts.

A failure is a `ValueError` whose text becomes part of the execution error. Strings are measured, indexed and cut in
bytes of UTF-8, as in Go.
"""

import datetime
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, cast

from modelstore.template import formats, values
from modelstore.template.atoms import Flags
from modelstore.template.printing import Meter, format_verb, sprint, sprintln
from modelstore.template.records import Property
from modelstore.template.values import Record, TypedList, TypedMap, Void, go_type, is_nil, is_true


class Kind(Enum):
    """What a parameter takes."""

    VALUE = "value"
    """Anything, `Void.VALUE` included."""
    ANY = "any"
    """Anything, but no value at all arrives as None."""
    STRING = "string"


@dataclass(frozen=True, slots=True)
class Function:
    """A function with the kinds of its parameters; `rest` is the kind of any number of further arguments."""

    run: Callable[..., Any]
    params: tuple[Kind, ...] = ()
    rest: Kind | None = None


# -- collections ------------------------------------------------------------------------------------------------------


def _length(value: object) -> int:
    if value is None:
        raise ValueError("len of nil pointer")
    if value is Void.VALUE:
        raise ValueError("reflect: call of reflect.Value.Type on zero Value")
    if isinstance(value, str):
        return len(value.encode(errors="replace"))
    if isinstance(value, list | dict | bytes):
        return len(cast("list[object]", value))
    raise ValueError(f"len of type {go_type(value)}")


def _index(value: object, *keys: object) -> object:
    if value is None or value is Void.VALUE:
        raise ValueError("index of untyped nil")
    for key in keys:
        if value is None:
            raise ValueError("index of nil pointer")
        value = _item(value, key)
    return value


def _item(value: object, key: object) -> object:
    if isinstance(value, dict):
        if not isinstance(key, str):
            what = "value is nil" if key is None or key is Void.VALUE else f"value has type {go_type(key)}"
            raise ValueError(f"{what}; should be {'of type ' if what == 'value is nil' else ''}string")
        missing = value.missing() if isinstance(value, TypedMap) else None
        return cast("dict[str, object]", value).get(key, missing)
    if isinstance(value, str):
        value = value.encode(errors="replace")
    if not isinstance(value, list | bytes):
        raise ValueError(f"can't index item of type {go_type(value)}")
    items = cast("list[object]", value)
    position = _position(key, len(items))
    if position == len(items):
        raise ValueError(f"reflect: {'string' if isinstance(value, bytes) else 'slice'} index out of range")
    return items[position]


def _position(key: object, limit: int) -> int:
    if key is None or key is Void.VALUE:
        raise ValueError("cannot index slice/array with nil")
    if not isinstance(key, int) or isinstance(key, bool):
        raise ValueError(f"cannot index slice/array with type {go_type(key)}")
    if not 0 <= key <= limit:
        raise ValueError(f"index out of range: {key}")
    return key


def _slice(value: object, *bounds: object) -> object:
    if value is None or value is Void.VALUE:
        raise ValueError("slice of untyped nil")
    if len(bounds) > 3:
        raise ValueError(f"too many slice indexes: {len(bounds)}")
    if isinstance(value, str):
        if len(bounds) == 3:
            raise ValueError("cannot 3-index slice a string")
        start, end = _bounds(bounds, len(data := value.encode(errors="replace")))
        return data[start:end].decode(errors="replace")
    if not isinstance(value, list | bytes):
        raise ValueError(f"can't slice item of type {go_type(value)}")
    items = cast("list[object]", value)
    start, end = _bounds(bounds, len(items))
    cut = items[start:end]
    return type(value)(cut) if isinstance(value, TypedList) else cut


def _bounds(bounds: tuple[object, ...], length: int) -> tuple[int, int]:
    given = [_position(bound, length) for bound in bounds]
    start, end, top = [*given, *(0, length, length)[len(given) :]]
    for low, high in ((start, end), (end, top)):
        if low > high:
            raise ValueError(f"invalid slice index: {low} > {high}")
    return start, end


# -- comparison -------------------------------------------------------------------------------------------------------


def _basic(value: object) -> type | None:
    kind = type(value)
    return kind if kind in (bool, int, float, str) else None


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    return any(_equals(first, other) for other in others)


def _equals(first: object, other: object) -> bool:
    absent = any(value is None or value is Void.VALUE for value in (first, other))
    kind = _basic(first)
    if kind is not _basic(other):
        if not absent:
            raise ValueError(f"incompatible types for comparison: {go_type(first)} and {go_type(other)}")
        return False
    if kind is not None:
        return first == other
    if is_nil(first) or is_nil(other):
        return is_nil(first) and is_nil(other)
    if isinstance(first, list) != isinstance(other, list) or isinstance(first, dict) != isinstance(other, dict):
        texts = [format_verb(verb, Flags(), value, Meter()) for verb, value in (("s", first), ("v", other))]
        raise ValueError(f"non-comparable types {texts[0]}: {go_type(first)}, {go_type(other)}: {texts[1]}")
    if not isinstance(other, Record):
        raise ValueError(f"non-comparable type {format_verb('s', Flags(), other, Meter())}: {go_type(other)}")
    return first is other


def _less(first: object, other: object) -> bool:
    kind = _basic(first)
    for value in (first, other):
        if _basic(value) is None:
            raise ValueError("invalid type for comparison")
    if kind is not _basic(other):
        raise ValueError(f"incompatible types for comparison: {go_type(first)} and {go_type(other)}")
    if kind is bool:
        raise ValueError("invalid type for comparison")
    return cast("Any", first) < other


def _less_or_equal(first: object, other: object) -> bool:
    return _less(first, other) or _equal(first, other)


def _not_equal(first: object, other: object) -> bool:
    return not _equal(first, other)


def _greater(first: object, other: object) -> bool:
    return not _less_or_equal(first, other)


def _greater_or_equal(first: object, other: object) -> bool:
    return not _less(first, other)


def _not(value: object) -> bool:
    return not is_true(value)


# -- text -------------------------------------------------------------------------------------------------------------


def _joined(args: tuple[object, ...]) -> str:
    """The arguments of an escaper as one text."""
    if len(args) == 1 and isinstance(args[0], str):
        return args[0]
    return sprint([Void.VALUE.value if arg is None else arg for arg in args])


_HTML: Final = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_JS: Final = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in range(0x20)}
    | {"\\": "\\\\", "'": "\\'", '"': '\\"'}
    | {char: f"\\u{ord(char):04X}" for char in "<>&="}
)


def _html(*args: object) -> str:
    return _joined(args).translate(_HTML)


def _js(*args: object) -> str:
    return _joined(args).translate(_JS)


def _urlquery(*args: object) -> str:
    return urllib.parse.quote_plus(_joined(args), safe="~", errors="replace")


def _print(*args: object) -> str:
    return sprint(args)


def _println(*args: object) -> str:
    return sprintln(args)


def _printf(form: str, *args: object) -> str:
    return formats.sprintf(form, args)


# -- prompts ----------------------------------------------------------------------------------------------------------


def _json(value: object) -> str:
    try:
        return values.to_json(value)
    except ValueError:  # NaN and infinities have no JSON form
        return ""


def _today(*_: str) -> str:
    return datetime.date.today().isoformat()


def _yesterday(*_: str) -> str:
    return (datetime.date.today() - datetime.timedelta(days=1)).isoformat()


def _typescript(value: object) -> str:
    return value.typescript() if isinstance(value, Property) else "any"


def _call(source: str, value: object, *_: object) -> object:
    """No function ever is a value here, so this fails; `source` is the expression it was given."""
    if value is None or value is Void.VALUE:
        raise ValueError("call of nil")
    raise ValueError(f"non-function {source} of type {go_type(value)}")


# Short-circuiting is the evaluator's work: `and` and `or` see only the values it had to compute.


def _and(*args: object) -> object:
    return next((arg for arg in args if not is_true(arg)), args[-1])


def _or(*args: object) -> object:
    return next((arg for arg in args if is_true(arg)), args[-1])


_V, _A, _S = Kind.VALUE, Kind.ANY, Kind.STRING

BUILTINS: Final[Mapping[str, Function]] = {
    "and": Function(_and, (_V,), _V),
    "or": Function(_or, (_V,), _V),
    "not": Function(_not, (_V,)),
    "len": Function(_length, (_V,)),
    "index": Function(_index, (_V,), _V),
    "slice": Function(_slice, (_V,), _V),
    "call": Function(_call, (_V,), _V),
    "eq": Function(_equal, (_V,), _V),
    "ne": Function(_not_equal, (_V, _V)),
    "lt": Function(_less, (_V, _V)),
    "le": Function(_less_or_equal, (_V, _V)),
    "gt": Function(_greater, (_V, _V)),
    "ge": Function(_greater_or_equal, (_V, _V)),
    "print": Function(_print, (), _A),
    "println": Function(_println, (), _A),
    "printf": Function(_printf, (_S,), _A),
    "html": Function(_html, (), _A),
    "js": Function(_js, (), _A),
    "urlquery": Function(_urlquery, (), _A),
}
"""Functions that every template has."""

PROMPT_FUNCTIONS: Final[Mapping[str, Function]] = {
    "json": Function(_json, (_A,)),
    "currentDate": Function(_today, (), _S),
    "yesterdayDate": Function(_yesterday, (), _S),
    "toTypeScriptType": Function(_typescript, (_A,)),
}
"""Functions that templates of models have beside them."""

ALL: Final[Mapping[str, Function]] = {**BUILTINS, **PROMPT_FUNCTIONS}
