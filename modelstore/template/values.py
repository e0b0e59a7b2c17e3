"""What a template works on: plain values, and records that know their Go fields.

Plain values are str, bool, int, float, None, bytes, list and dict. Beside them stand records (fixed fields, one that is
unknown is an error), typed lists and maps (an empty one may be nil, which JSON shows as `null`), and values with a text
form of their own, printed by `{{ . }}`. The records of a conversation are in `records`.

`Void.VALUE` is what is left of a nil once it went through a pipeline: no value at all, printed `<no value>`.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from json.encoder import encode_basestring
from typing import Any, ClassVar, Final, NamedTuple, cast

from modelstore import canonical
from modelstore.numbers import json_number


class Void(Enum):
    """The absence of a value; nothing else is equal to it."""

    VALUE = "<no value>"


class Textual:
    """A value with a text form of its own."""

    def text(self) -> str:
        return to_json(self)


class TypedList(list[Any]):
    """A slice of one Go type. An empty one is nil: in JSON `null`."""

    go_type: ClassVar[str]

    def __init__(self, items: Iterable[Any] | None = ()) -> None:
        super().__init__(items or ())

    def plain(self) -> Any:
        """What JSON writes for it: itself, or another value."""
        return self or None


class TypedMap(dict[str, Any], Textual):
    """A map of one Go type that prints as JSON; `{}` where it is nil."""

    go_type: ClassVar[str]

    def __init__(self, items: Mapping[str, Any] | None) -> None:
        super().__init__(items or {})
        self.is_nil = items is None

    def text(self) -> str:
        return "{}" if self.is_nil else super().text()

    def plain(self) -> Any:
        """What JSON writes for it: itself, or another value."""
        return None if self.is_nil else self

    def missing(self) -> Any:
        """The zero value of an element."""
        return None


class Member(NamedTuple):
    """One field of a record, by its Go name, its attribute here and its key in JSON."""

    go: str
    attribute: str
    key: str
    omit_empty: bool = False


class Record:
    """A Go struct."""

    go_type: ClassVar[str]
    pointer: ClassVar[bool] = False
    """Held by a pointer: printed with `&` unless an action prints it."""
    members: ClassVar[tuple[Member, ...]]
    methods: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    _attributes: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        cls._attributes = {member.go: member.attribute for member in cls.members}

    def fields(self) -> list[tuple[str, Any]]:
        """Go names and values in declared order."""
        return [(member.go, getattr(self, member.attribute)) for member in self.members]

    @classmethod
    def has(cls, name: str) -> bool:
        """Whether there is a field of this Go name."""
        return name in cls._attributes

    @classmethod
    def attribute(cls, name: str) -> str:
        """The attribute that holds a field, by its Go name."""
        return cls._attributes[name]

    def json_members(self) -> list[tuple[str, object]]:
        """Keys in quotes and values of the members that JSON has, in declared order."""
        found = ((member, getattr(self, member.attribute)) for member in self.members)
        return [(f'"{m.key}"', item) for m, item in found if not (m.omit_empty and _is_empty(item))]

    def get(self, name: str) -> Any:
        """A field's value, by its Go name."""
        return getattr(self, self._attributes[name])


# -- what can be said of any value ------------------------------------------------------------------------------------


def text_form(value: object) -> str | None:
    """The text a value gives itself; None where it has none."""
    return value.text() if isinstance(value, Textual) else None


def go_type(value: object) -> str:
    """The type's name, as error messages have it."""
    if isinstance(value, TypedList | TypedMap | Record):
        return value.go_type
    return _PLAIN_TYPES.get(type(value), "interface {}")


_PLAIN_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    bool: "bool",
    int: "int",
    float: "float64",
    bytes: "api.ImageData",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


def is_true(value: object) -> bool:
    """Whether `if` takes it for true: everything but zero, empty and nil."""
    return isinstance(value, Record) or (value is not Void.VALUE and bool(value))


def is_nil(value: object) -> bool:
    """Whether it equals `nil`."""
    if isinstance(value, TypedMap):
        return value.is_nil
    return value is None or value is Void.VALUE or (isinstance(value, TypedList) and not value)


def to_json(value: object) -> str:
    """Compact JSON as Go encodes it: records in declared order, maps sorted. Raises `ValueError` for NaN."""
    pieces: list[str] = []
    _write(value, pieces.append)
    return canonical.HTML.sub(canonical.escaped, "".join(pieces))


_TYPED: Final = (TypedList, TypedMap)


def _write(value: object, write: Callable[[str], None]) -> None:
    if isinstance(value, str):
        write(encode_basestring(value))
    elif isinstance(value, Record):
        _write_members(value.json_members(), write)
    elif isinstance(value, _TYPED) and (plain := value.plain()) is not value:
        _write(plain, write)
    elif isinstance(value, dict):
        members = cast("dict[str, object]", value)
        _write_members([(encode_basestring(key), members[key]) for key in sorted(members)], write)
    elif isinstance(value, list):
        between = "["
        for item in cast("list[object]", value):
            write(between)
            _write(item, write)
            between = ","
        write("]" if value else "[]")
    elif isinstance(value, bytes):
        write(f'"{base64.b64encode(value).decode()}"')
    else:
        write(_atom(value))


def _write_members(members: Sequence[tuple[str, object]], write: Callable[[str], None]) -> None:
    """`members`: keys with their quotes."""
    between = "{"
    for key, item in members:
        write(f"{between}{key}:")
        _write(item, write)
        between = ","
    write("}" if members else "{}")


def _atom(value: object) -> str:
    if value is None or value is Void.VALUE:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json_number(value) if isinstance(value, float) else str(value)


def _is_empty(value: object) -> bool:
    """What `omitempty` drops; numbers and records are none of the members here."""
    return value is None or value == "" or (isinstance(value, list | TypedMap) and not value)
