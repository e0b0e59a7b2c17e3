"""Whether alternatives exclude each other, so that matching one of them is matching exactly one."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from scheduler.runner.constrain.schema.check import TYPES

Follow = Callable[[Any], Any]
"""From a schema to what it refers to."""
_MOST: Final = 300
"""Alternatives that are compared with each other."""
_DEPTH: Final = 4
_ALL: Final = frozenset(TYPES)
_NAMES: Final[dict[type, str]] = {str: "string", list: "array", dict: "object"}


def exclusive(options: Sequence[Any], follow: Follow) -> bool:
    """Whether no value can match two of the schemas. False also where that cannot be told easily."""
    if len(options) > _MOST:
        return False
    return all(
        _apart(one, other, follow, _DEPTH) for index, one in enumerate(options) for other in options[index + 1 :]
    )


def _apart(one: Any, other: Any, follow: Follow, depth: int) -> bool:
    one, other = follow(one), follow(other)
    if one is False or other is False:
        return True
    if not isinstance(one, dict) or not isinstance(other, dict) or not depth:
        return False
    first, second = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
    for schema, against in ((first, second), (second, first)):
        for key, every in (("allOf", any), ("anyOf", all), ("oneOf", all)):
            parts = schema.get(key)
            if isinstance(parts, list) and parts:
                found = (_apart(part, against, follow, depth - 1) for part in cast("list[Any]", parts))
                if every(found):
                    return True
    if not _types(first) & _types(second):
        return True
    values = _values(first), _values(second)
    if values[0] is not None and values[1] is not None:
        return not values[0] & values[1]
    return _objects_apart(first, second, follow, depth)


def _objects_apart(one: dict[str, Any], other: dict[str, Any], follow: Follow, depth: int) -> bool:
    """Objects are apart if one they must have differs, or one must have what the other may not."""
    if _types(one) & _types(other) != frozenset(["object"]):
        return False
    properties = one.get("properties", {}), other.get("properties", {})
    for schema, mine, others, theirs in ((one, *properties, other), (other, *properties[::-1], one)):
        for name in cast("list[Any]", schema.get("required") or []):
            if name in others:
                if name in mine and _apart(mine[name], others[name], follow, depth - 1):
                    return True
            elif theirs.get("additionalProperties") is False and "patternProperties" not in theirs:
                return True
    return False


def _types(schema: dict[str, Any]) -> frozenset[str]:
    kinds = schema.get("type", _ALL)
    names = frozenset([kinds]) if isinstance(kinds, str) else frozenset(cast("list[str]", kinds))
    if "number" in names:
        names |= {"integer"}
    values = _listed(schema)
    return names if values is None else names & frozenset().union(*map(_types_of, values))


def _types_of(value: Any) -> frozenset[str]:
    if isinstance(value, bool):
        return frozenset(["boolean"])
    if isinstance(value, int | float):
        return frozenset(["integer", "number"])
    return frozenset(name for kind, name in _NAMES.items() if isinstance(value, kind)) or frozenset(["null"])


def _listed(schema: dict[str, Any]) -> list[Any] | None:
    return schema.get("enum", [schema["const"]] if "const" in schema else None)


def _values(schema: dict[str, Any]) -> frozenset[str] | None:
    """The values that are allowed, as text; None if they are not listed. 1 and 1.0 are the same."""
    values = _listed(schema)
    if values is None:
        return None
    plain = (int(value) if isinstance(value, float) and value.is_integer() else value for value in values)
    return frozenset(json.dumps(value, sort_keys=True) for value in plain)
