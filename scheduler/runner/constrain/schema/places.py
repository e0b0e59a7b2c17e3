"""Where schemas stand inside of a schema."""

from collections.abc import Iterator
from typing import Any, Final, cast

from scheduler.runner.constrain.schema.errors import Place

BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords with a schema for each name."""
LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords with a list of schemas."""
SINGLE: Final = frozenset({
    "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
"""Keywords with one schema; that of `items` may be a list of them in older drafts."""


def parts(schema: dict[str, Any]) -> Iterator[tuple[Place, Any]]:
    """The schemas directly inside of one, with the steps that lead to them. Values of other types are passed over."""
    for key, value in schema.items():
        if key in BY_NAME and isinstance(value, dict):
            for name, part in cast("dict[str, Any]", value).items():
                yield (key, name), part
        elif key in LISTS or key == "items":
            if isinstance(value, list):
                for index, part in enumerate(cast("list[Any]", value)):
                    yield (key, index), part
            elif key == "items":
                yield (key,), value
        elif key in SINGLE:
            yield (key,), value


def everywhere(schema: Any, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """A schema and all schemas inside of it that are objects."""
    if isinstance(schema, dict):
        members = cast("dict[str, Any]", schema)
        yield place, members
        for steps, part in parts(members):
            yield from everywhere(part, (*place, *steps))
