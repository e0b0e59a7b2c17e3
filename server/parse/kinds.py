"""What a JSON Schema says about the kinds of values it admits."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, TypeAlias, cast

Schema: TypeAlias = Mapping[str, Any]

KINDS: Final = ("string", "integer", "number", "boolean", "null", "array", "object")
ANYTHING: Final[Schema] = {}
_BETWEEN: Final = re.compile("[,|]")
"""Some clients write a list of types as one text."""
_DEEPEST: Final = 16
"""References and alternatives within each other."""
_MOST: Final = 256
"""Alternatives that are worth telling apart."""


def as_schema(value: object) -> Schema:
    """What stands where a schema should; anything goes where there is none."""
    return cast("Schema", value) if isinstance(value, Mapping) else ANYTHING


def as_list(value: object) -> Sequence[Any]:
    """What stands where a list should; none if it is something else."""
    return cast("list[Any]", value) if isinstance(value, list) else ()


def leaves(schema: object, root: Schema) -> Sequence[Schema]:
    """The alternatives of a schema, at least one. Each has one of `KINDS` for its `type`, or an `enum`, or is
    `ANYTHING`.

    References are followed within `root`; where alternatives stand beside other keywords, each has them all.
    """
    found = list(islice(_leaves(schema, root, 0), _MOST + 1))
    return [ANYTHING] if len(found) > _MOST else found


def _leaves(schema: object, root: Schema, depth: int) -> Iterator[Schema]:
    given = as_schema(schema)
    if depth > _DEEPEST:
        yield ANYTHING
    elif "$ref" in given:
        yield from _leaves(_target(given["$ref"], root), root, depth + 1)
    elif as_list(given.get("allOf")):
        yield from _leaves(_joined(given), root, depth + 1)
    elif branches := as_list(given.get("anyOf")) or as_list(given.get("oneOf")):
        common = {key: value for key, value in given.items() if key not in ("anyOf", "oneOf")}
        for branch in branches:
            yield from _leaves({**common, **as_schema(branch)}, root, depth + 1)
    else:
        yield from _simple(given)


def kinds(schema: object, root: Schema) -> list[str]:
    """The types that values may have, as far as the schema says so, in its order."""
    found = chain.from_iterable(_kinds(leaf) for leaf in leaves(schema, root))
    return list(dict.fromkeys(found))


def is_free(schema: Schema) -> bool:
    """Whether objects of the schema may have any members, because it does not say which."""
    if isinstance(schema.get("properties"), Mapping) or as_list(schema.get("required")):
        return False
    return schema.get("additionalProperties") is not False


def kind_of(value: object) -> str:
    """Of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _simple(given: Schema) -> Iterator[Schema]:
    written = given.get("type")
    listed = [written] if isinstance(written, str) else as_list(written)
    types = [kind.strip() for text in listed if isinstance(text, str) for kind in _BETWEEN.split(text)]
    rest = {key: value for key, value in given.items() if key not in ("enum", "const")}
    values = [given["const"]] if "const" in given else as_list(given.get("enum"))
    if values:
        allowed = [value for value in values if not types or _fits(value, types)]
        yield {"enum": list(allowed or values)}
    elif types and all(kind in KINDS for kind in types):
        yield from ({**rest, "type": kind} for kind in dict.fromkeys(types))
    elif not types and isinstance(given.get("properties"), Mapping):
        yield {**rest, "type": "object"}
    elif not types and "items" in given:
        yield {**rest, "type": "array"}
    else:
        yield ANYTHING


def _fits(value: object, types: Sequence[str]) -> bool:
    kind = kind_of(value)
    return kind in types or (kind == "integer" and "number" in types)


def _kinds(leaf: Schema) -> list[str]:
    if "enum" in leaf:
        return [kind_of(value) for value in leaf["enum"]]
    return [leaf["type"]] if leaf else []


def _target(reference: object, root: Schema) -> object:
    """What a local reference points to; anything goes for all others."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return ANYTHING
    found: Any = root
    for step in reference[1:].split("/")[1:]:
        found = as_schema(found).get(step.replace("~1", "/").replace("~0", "~"))
    return found


def _joined(given: Schema) -> Schema:
    """`allOf` and what stands beside it in one."""
    rest = {key: value for key, value in given.items() if key != "allOf"}
    joined: dict[str, Any] = {}
    for part in (*map(as_schema, given["allOf"]), rest):
        properties = {**as_schema(joined.get("properties")), **as_schema(part.get("properties"))}
        required = [*as_list(joined.get("required")), *as_list(part.get("required"))]
        joined |= {**part, **({"properties": properties} if properties else {}), "required": required}
    return joined
