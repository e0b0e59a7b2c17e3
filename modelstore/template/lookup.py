"""Looks up names in values: `.A.B`."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter, methodcaller
from typing import Any, TypeAlias, cast

from modelstore.template.records import RECORDS
from modelstore.template.values import Record, TypedMap, Void, go_type, text_form

Getters: TypeAlias = Mapping[type, Callable[[Any], Any]]
"""How values of a type give a field; types that are not in it take the long way (`path`)."""


@cache
def getters(name: str) -> Getters:
    """The short ways to a field: out of plain maps and of records that have it and no method of that name."""
    known: dict[type, Callable[[Any], Any]] = {dict: methodcaller("get", name)}
    for record in RECORDS:
        if record.has(name) and name not in record.methods and name != "String":
            known[record] = attrgetter(record.attribute(name))
    return known


def path(value: Any, names: Sequence[str], has_arguments: bool) -> Any:
    """A chain of fields; the last one takes the arguments, if it is a method. Raises `ValueError` with Go's text."""
    in_map = False
    for position, name in enumerate(names, 1):
        value, in_map = _member(value, name, in_map, has_arguments and position == len(names))
    return value


def _member(value: Any, name: str, in_map: bool, has_arguments: bool) -> tuple[Any, bool]:
    """A field, an entry of a map, or a method's result; and whether it came out of a map.

    What comes out of a map is of type interface{} to Go (`in_map`), which error messages tell.
    """
    if value is Void.VALUE:
        return value, False
    shown = "interface {}" if in_map else go_type(value)
    if value is None:
        raise ValueError(f"nil pointer evaluating {shown}.{name}")
    method = _method(value, name)
    if method is not None:
        if has_arguments:
            raise ValueError(f"wrong number of args for {name}: want 0 got 1")
        return method(value), False
    if isinstance(value, dict):
        if has_arguments:
            raise ValueError(f"{name} is not a method but has arguments")
        missing = value.missing() if isinstance(value, TypedMap) else None
        return cast("dict[str, Any]", value).get(name, missing), True
    if not isinstance(value, Record) or not value.has(name):
        raise ValueError(f"can't evaluate field {name} in type {shown}")
    if has_arguments:
        raise ValueError(f"{name} has arguments but cannot be invoked as function")
    return value.get(name), False


def _method(value: object, name: str) -> Callable[[Any], Any] | None:
    if name == "String" and text_form(value) is not None:
        return text_form
    return value.methods.get(name) if isinstance(value, Record) else None
