"""Turns a JSON value into a typed one, with the type rules and error texts of Go's encoding/json.

A `Decoder` knows the Go type it stands for. Null leaves a member at its default.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

from server.gojson import base64
from server.gojson.scan import Number
from server.gojson.walk import DecodeError, Decoder, Mismatch, Schema, Walk

T = TypeVar("T")

_INT64: Final = range(-(2**63), 2**63)


class _Scalar(Generic[T]):
    """A Python type that JSON has too."""

    takes_null = False

    def __init__(self, kind: Callable[[], T], go: str, schema: Schema) -> None:
        self._kind = kind
        self.go = go
        self._schema = schema

    def decode(self, value: Any, walk: Walk) -> T:
        if type(value) is self._kind:
            return cast(T, value)
        walk.mismatch(value, self.go)
        return self._kind()

    def zero(self) -> T:
        return self._kind()

    def schema(self) -> Schema:
        return self._schema


class _Int:
    """A whole number of 64 bits."""

    go = "int"
    takes_null = False

    def decode(self, value: Any, walk: Walk) -> int:
        if isinstance(value, Number):
            digits = value.text.removeprefix("-")
            number = int(value.text) if digits.isdigit() and len(digits) < 20 else None
        else:
            number = value if type(value) is int else None
        if number is not None and number in _INT64:
            return number
        walk.mismatch(value, self.go, exact=True)
        return 0

    def zero(self) -> int:
        return 0

    def schema(self) -> Schema:
        return {"type": "integer", "format": "int64", "minimum": _INT64.start, "maximum": _INT64.stop - 1}


class _Any:
    """Any value as it is."""

    go = "interface {}"
    takes_null = False

    def decode(self, value: Any, walk: Walk) -> Any:
        if isinstance(value, Number):
            return self._number(value, walk)
        if isinstance(value, (dict, list)):
            self._replace_numbers(cast("dict[Any, Any] | list[Any]", value), walk)
        return cast(Any, value)

    def _replace_numbers(self, root: dict[Any, Any] | list[Any], walk: Walk) -> None:
        """In place, with a stack of its own: nesting is up to the sender."""
        pending = [root]
        while pending:
            container = pending.pop()
            members: list[tuple[Any, Any]] = list(
                container.items() if isinstance(container, dict) else enumerate(container)
            )
            for key, member in members:
                if isinstance(member, Number):
                    container[key] = self._number(member, walk)
                elif isinstance(member, (dict, list)):
                    pending.append(cast("dict[Any, Any] | list[Any]", member))

    def _number(self, number: Number, walk: Walk) -> int | float:
        value = float(number.text)
        if math.isinf(value):
            walk.complain(Mismatch(f"number {number.text}", "float64", walk.struct, ".".join(walk.path)))
            return 0
        whole = number.text.removeprefix("-").isdigit()
        return int(number.text) if whole and abs(value) < 2**63 else value

    def zero(self) -> Any:
        return None

    def schema(self) -> Schema:
        return {}


class _Raw:
    """The text of the value; only for members of the outermost object."""

    go = "json.RawMessage"
    takes_null = False

    def decode(self, value: Any, walk: Walk) -> str:
        assert walk.text_of is not None, "raw members belong to the outermost object"
        return walk.text_of(walk.path[-1])

    def zero(self) -> str:
        return ""

    def schema(self) -> Schema:
        return {}


class _Image:
    """Bytes in base64, or as an array of numbers."""

    go = "api.ImageData"
    takes_null = False
    _byte: Final = _Int()

    def decode(self, value: Any, walk: Walk) -> bytes:
        if isinstance(value, str):
            try:
                return base64.decode(value)
            except base64.CorruptInput as error:
                walk.complain(DecodeError(str(error)))
        elif isinstance(value, list):
            return bytes(self._item(item, walk) for item in cast("list[Any]", value))
        else:
            walk.mismatch(value, self.go)
        return b""

    def _item(self, value: Any, walk: Walk) -> int:
        inner = Walk()
        number = 0 if value is None else self._byte.decode(value, inner)
        if inner.complaint is not None or number not in range(256):
            walk.mismatch(value, "uint8", exact=True)
            return 0
        return number

    def zero(self) -> bytes:
        return b""

    def schema(self) -> Schema:
        byte = {"type": ["integer", "null"], "minimum": 0, "maximum": 255}
        return {"anyOf": [{"type": "string", "contentEncoding": "base64"}, {"type": "array", "items": byte}]}


STRING: Final = _Scalar(str, "string", {"type": "string"})
BOOL: Final = _Scalar(bool, "bool", {"type": "boolean"})
INT: Final = _Int()
ANY: Final = _Any()
RAW: Final = _Raw()
IMAGE: Final = _Image()


class ListOf(Generic[T]):
    """An array of one type."""

    takes_null = False

    def __init__(self, item: Decoder[T], go: str = "") -> None:
        self._item = item
        self.go = go or f"[]{item.go}"

    def decode(self, value: Any, walk: Walk) -> list[T]:
        if not isinstance(value, list):
            walk.mismatch(value, self.go)
            return []
        item = self._item
        elements = cast("list[Any]", value)
        return [item.zero() if element is None else item.decode(element, walk) for element in elements]

    def zero(self) -> list[T]:
        return []

    def schema(self) -> Schema:
        return {"type": "array", "items": self._item}


class MapOf(Generic[T]):
    """An object whose keys are free."""

    takes_null = False

    def __init__(self, item: Decoder[T]) -> None:
        self._item = item
        self.go = f"map[string]{item.go}"

    def decode(self, value: Any, walk: Walk) -> dict[str, T]:
        if not isinstance(value, dict):
            walk.mismatch(value, self.go)
            return {}
        item = self._item
        members = cast("dict[str, Any]", value)
        return {k: item.zero() if v is None else item.decode(v, walk) for k, v in members.items()}

    def zero(self) -> dict[str, T]:
        return {}

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self._item}


def _fold(key: str) -> str:
    """Keys that differ only in case are one; U+017F and U+212A are cases of s and k."""
    return key.lower().replace("\u017f", "s")


class Object(Generic[T]):
    """A Go struct. `build` gets the members that are present, by keyword: their JSON name unless `names` renames it."""

    takes_null = False

    def __init__(
        self,
        struct: str,
        build: Callable[..., T],
        members: Mapping[str, Decoder[Any]],
        *,
        names: Mapping[str, str] | None = None,
        go: str = "",
    ) -> None:
        self.struct = struct
        self.go = go or f"api.{struct}"
        self._build = build
        self._members: dict[str, tuple[str, str, Decoder[Any]]] = {}
        for name, decoder in members.items():
            self.add(name, decoder, (names or {}).get(name, name))

    def add(self, name: str, decoder: Decoder[Any], keyword: str) -> None:
        """One more member; for types that contain themselves."""
        self._members[name] = self._members[_fold(name)] = (name, keyword, decoder)

    def decode(self, value: Any, walk: Walk) -> T:
        if not isinstance(value, dict):
            walk.mismatch(value, self.go)
            return self._build()
        keywords: dict[str, Any] = {}
        outer, walk.struct = walk.struct, self.struct
        for key, member in cast("dict[str, Any]", value).items():
            found = self._members.get(key) or self._members.get(_fold(key))
            if found is None:
                continue
            name, keyword, decoder = found
            if member is None and not decoder.takes_null:
                continue
            walk.path.append(key if decoder is RAW else name)
            keywords[keyword] = decoder.decode(member, walk)
            walk.path.pop()
        walk.struct = outer
        return self._build(**keywords)

    def zero(self) -> T:
        return self._build()

    def schema(self) -> Schema:
        return {"type": "object", "properties": {name: decoder for name, _, decoder in self._members.values()}}


class Custom(Generic[T]):
    """A type that decodes itself: its faults end the decoding, and lose their own struct to the surrounding one."""

    def __init__(self, inner: Decoder[T], *, takes_null: bool = False) -> None:
        self._inner = inner
        self.go = inner.go
        self.takes_null = takes_null

    def decode(self, value: Any, walk: Walk) -> T:
        inner = Walk()
        try:
            result = self._inner.decode(value, inner)
            if inner.complaint is not None:
                raise inner.complaint
        except Mismatch as error:
            path = [*walk.path, error.path] if error.path else walk.path
            raise Mismatch(error.kind, error.go, walk.struct or error.struct, ".".join(path)) from None
        return result

    def zero(self) -> T:
        return self._inner.zero()

    def schema(self) -> Schema:
        return {"allOf": [self._inner]}
