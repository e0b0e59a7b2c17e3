"""Schemas of request bodies, read off the decoders.

Every decoder says what it takes (`Decoder.schema`), in terms of other decoders; here they are put together, and each Go
struct becomes a component. A member of any type may be null, which is as good as absent.
"""

from typing import Any, Final, cast

from server.gojson.types import Object
from server.gojson.walk import Decoder, Schema
from server.openapi import members

_PLACES: Final = ("items", "additionalProperties")
_NAMES: Final = {"Alias": "Message"}
"""Structs whose Go name means nothing to a reader."""


def reference(name: str) -> Schema:
    """The component of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


class Requests:
    """Collects the components that the bodies of requests need."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._owners: dict[str, Decoder[Any]] = {}

    def schema(self, decoder: Decoder[Any]) -> Schema:
        """What `decoder` takes, null aside."""
        if not isinstance(decoder, Object):
            return self._resolved(decoder.schema())
        name = self._name(decoder)
        if name not in self.components:
            self.components[name] = {}  # taken, as structs contain themselves
            self.components[name] = self._component(name, decoder)
        return reference(name)

    def _name(self, struct: Object[Any]) -> str:
        """The struct's own name; that of its Go type, if another has it already."""
        plain = _NAMES.get(struct.struct, struct.struct)
        for name in (plain, struct.go):
            if self._owners.setdefault(name, struct) is struct:
                return name
        raise ValueError(f"two decoders for {struct.go}")

    def _component(self, name: str, struct: Object[Any]) -> Schema:
        schema = {**self._resolved(struct.schema()), **members.required(name)}
        for member, inner in cast("dict[str, Schema]", schema["properties"]).items():
            inner.update(members.narrower(name, member))
            if text := members.text(name, member):
                inner["description"] = text
        return schema

    def _resolved(self, schema: Schema) -> Schema:
        """The schema without decoders in it."""
        found: Schema = {}
        for key, value in schema.items():
            if key == "properties":
                found[key] = {name: self._nullable(inner) for name, inner in value.items()}
            elif key in _PLACES:
                found[key] = self._nullable(value)
            elif key in ("anyOf", "allOf"):
                found[key] = [self._inner(inner) for inner in value]
            else:
                found[key] = value
        return found["allOf"][0] if list(found) == ["allOf"] else found

    def _inner(self, value: Schema | Decoder[Any]) -> Schema:
        return self._resolved(value) if isinstance(value, dict) else self.schema(value)

    def _nullable(self, value: Schema | Decoder[Any]) -> Schema:
        return nullable(self._inner(value))


def nullable(schema: Schema) -> Schema:
    """The schema, and null."""
    kind = schema.get("type")
    if not schema or (isinstance(kind, list) and "null" in kind):
        return dict(schema)
    if isinstance(kind, str):
        return {**schema, "type": [kind, "null"]}
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    branches = schema["anyOf"] if list(schema) == ["anyOf"] else [schema]
    return {"anyOf": [*branches, {"type": "null"}]}
