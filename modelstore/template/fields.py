"""Looks up one name in a value: `.Name`."""

from collections.abc import Callable
from typing import Any, cast

from modelstore.template.values import Record, TypedMap, Void, go_type, text_form


def member(value: Any, name: str, in_map: bool, has_arguments: bool) -> tuple[Any, bool]:
    """A field, an entry of a map, or a method's result; and whether it came out of a map.

    What comes out of a map is of type interface{} to Go (`in_map`), which error messages tell. Raises `ValueError` with
    Go's text.
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
