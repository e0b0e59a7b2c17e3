"""Whether a schema is well formed: each keyword has a value of its type, each reference leads somewhere."""

import math
from collections.abc import Callable
from typing import Any, Final, cast

from scheduler.runner.constrain.schema.errors import Place, SchemaError
from scheduler.runner.constrain.schema.places import BY_NAME, LISTS, SINGLE, everywhere

MAX_DEPTH: Final = 100
"""Levels of nesting; the compiler's JSON reader stops at 128, which includes what we put around a schema."""
MAX_SCHEMAS: Final = 10_000
MAX_PROPERTIES: Final = 1_000
"""In one object: the time to compile it grows with their square."""
TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_type(value: Any) -> bool:
    names = cast("list[Any]", value) if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in cast("list[Any]", value))


_EXPECTED: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "$ref": (lambda value: isinstance(value, str), "a text"),
    "enum": (lambda value: isinstance(value, list) and bool(cast("list[Any]", value)), "a list of at least one value"),
    "exclusiveMaximum": (lambda value: isinstance(value, bool) or _is_number(value), "a number"),
    "exclusiveMinimum": (lambda value: isinstance(value, bool) or _is_number(value), "a number"),
    "format": (lambda value: isinstance(value, str), "a text"),
    "maxItems": (_is_count, "a whole number that is not negative"),
    "maxLength": (_is_count, "a whole number that is not negative"),
    "maxProperties": (_is_count, "a whole number that is not negative"),
    "maximum": (_is_number, "a number"),
    "minItems": (_is_count, "a whole number that is not negative"),
    "minLength": (_is_count, "a whole number that is not negative"),
    "minProperties": (_is_count, "a whole number that is not negative"),
    "minimum": (_is_number, "a number"),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "pattern": (lambda value: isinstance(value, str), "a text"),
    # A draft of 2010 had a boolean here, and some clients still do; it is not enforced.
    "required": (lambda value: isinstance(value, bool) or _is_names(value), "a list of names"),
    "type": (_is_type, f"one of {', '.join(sorted(TYPES))}, or a list of them"),
}


def check(schema: Any) -> None:
    """Raises `SchemaError` for the first fault."""
    _check_depth(schema)
    if not isinstance(schema, dict | bool):
        raise SchemaError((), f"a schema is an object, not {shown(schema)}")
    for count, (place, members) in enumerate(everywhere(schema)):
        if count >= MAX_SCHEMAS:
            raise SchemaError(place, f"too large: more than {MAX_SCHEMAS} schemas")
        _check_members(place, members)


def shown(value: Any) -> str:
    """A value as it may stand in a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_depth(schema: Any) -> None:
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                deeper.extend(cast("dict[str, Any]", value).values())
            elif isinstance(value, list):
                deeper.extend(cast("list[Any]", value))
        if not deeper:
            return
        level = deeper
    raise SchemaError((), f"nested deeper than {MAX_DEPTH} levels")


def _check_members(place: Place, members: dict[str, Any]) -> None:
    for key, value in members.items():
        if key in _EXPECTED:
            fits, expected = _EXPECTED[key]
            if not fits(value):
                raise SchemaError((*place, key), f"expected {expected}, not {shown(value)}")
        elif key in BY_NAME:
            _check_named((*place, key), value)
        elif key in LISTS:
            _check_list((*place, key), value)
        elif key == "items" and isinstance(value, list):
            _check_list((*place, key), cast("list[Any]", value), may_be_empty=True)
        elif key in SINGLE:
            _check_schema((*place, key), value)


def _check_named(place: Place, value: Any) -> None:
    if not isinstance(value, dict):
        raise SchemaError(place, f"expected an object with a schema for each name, not {shown(value)}")
    named = cast("dict[str, Any]", value)
    if place[-1] == "properties" and len(named) > MAX_PROPERTIES:
        raise SchemaError(place, f"too large: {len(named)} properties in one object, at most {MAX_PROPERTIES}")
    for name, part in named.items():
        _check_schema((*place, name), part)


def _check_list(place: Place, value: Any, *, may_be_empty: bool = False) -> None:
    if not isinstance(value, list) or not (value or may_be_empty or place[-1] == "prefixItems"):
        raise SchemaError(place, f"expected a list of at least one schema, not {shown(value)}")
    for index, part in enumerate(cast("list[Any]", value)):
        _check_schema((*place, index), part)


def _check_schema(place: Place, value: Any) -> None:
    if not isinstance(value, dict | bool):
        raise SchemaError(place, f"a schema is an object, not {shown(value)}")
