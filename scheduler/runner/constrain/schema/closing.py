"""Objects as llama.cpp reads them: one has the properties that its schema names, and no others."""

from collections.abc import Mapping
from typing import Any, Final, cast

_VALUES: Final = frozenset({"enum", "const", "default", "examples"})
"""Keywords with plain values, which only look like schemas."""
_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keywords with a schema for each name."""
_JOINED: Final = ("allOf", "anyOf", "oneOf")


def closed(schema: Any) -> Any:
    """The schema with objects limited to the properties they name, unless they say otherwise.

    Where several schemas describe one object none of them is limited: each would forbid what the others demand.
    Raises `RecursionError` for one that is nested too deeply.
    """
    shared: set[str] = set()
    _collect(schema, shared)
    return _Closing(shared).close(schema)


class _Closing:
    """`shared`: references to definitions that describe an object together with others."""

    def __init__(self, shared: set[str]) -> None:
        self._shared = shared

    def close(self, schema: Any, *, part: bool = False) -> Any:
        """`part`: other schemas describe the same object."""
        if isinstance(schema, list):
            return [self.close(item) for item in cast("list[Any]", schema)]
        if not isinstance(schema, dict):
            return schema
        members = cast("dict[str, Any]", schema)
        part = part or _describes_jointly(members)
        found = {key: self._member(key, value, part) for key, value in members.items()}
        if "properties" in found and not part:
            found.setdefault("additionalProperties", False)
        return found

    def _member(self, key: str, value: Any, part: bool) -> Any:
        if key in _VALUES:
            return value
        if key in _JOINED and isinstance(value, list):
            return [self.close(item, part=part) for item in cast("list[Any]", value)]
        if key in _BY_NAME and isinstance(value, dict):
            named = cast("dict[str, Any]", value)
            return {name: self.close(item, part=f"#/{key}/{name}" in self._shared) for name, item in named.items()}
        return self.close(value)


def _describes_jointly(schema: Mapping[str, Any]) -> bool:
    """Whether an object must follow several schemas in here at once."""
    every = schema.get("allOf")
    together = len(cast("list[Any]", every)) if isinstance(every, list) else 0
    return together + sum(key in schema for key in ("$ref", "properties", "anyOf", "oneOf")) > 1


def _collect(schema: Any, shared: set[str], *, part: bool = False) -> None:
    """Find the references that stand where an object is described jointly."""
    if isinstance(schema, list):
        for item in cast("list[Any]", schema):
            _collect(item, shared, part=part)
    elif isinstance(schema, dict):
        members = cast("dict[str, Any]", schema)
        part = part or _describes_jointly(members)
        reference = members.get("$ref")
        if part and isinstance(reference, str):
            shared.add(reference)
        for key, value in members.items():
            _collect(value, shared, part=part and key in _JOINED)
