"""Schemas as clients send them: by hand, from Pydantic, from Zod."""

import datetime
import enum
import uuid
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class Case(NamedTuple):
    """`ignored`: keywords that are known not to be enforced in full."""

    schema: Any
    ignored: frozenset[str] = frozenset()
    model: type[BaseModel] | None = None
    """The Pydantic model that the schema is of."""


# -- Pydantic -----------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    GREEN = "grün"
    NUMBER = 3


class Person(BaseModel):
    name: str
    age: int = Field(ge=0, le=150)
    email: str | None = None


class Address(BaseModel):
    street: str = Field(min_length=1, max_length=20)
    zip_code: str = Field(pattern=r"^\d{5}$")


class Customer(BaseModel):
    """Nested models, a list of them, a default."""

    id: uuid.UUID
    address: Address
    others: list[Address] = Field(max_length=2)
    vip: bool = False


class Tree(BaseModel):
    value: int
    children: list["Tree"] = Field(default_factory=list["Tree"], max_length=2)


class LinkedList(BaseModel):
    value: str
    next: "LinkedList | None" = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(gt=0, lt=10)


class Dog(BaseModel):
    kind: Literal["dog"]
    good: Literal[True]


class Pets(BaseModel):
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = Field(min_length=1, max_length=3)


class AnyPet(BaseModel):
    pet: Cat | Dog | None


class Meeting(BaseModel):
    starts: datetime.datetime
    day: datetime.date
    at: datetime.time
    lasts: datetime.timedelta


class Maps(BaseModel):
    counts: dict[str, int]
    by_name: dict[Literal["a", "ä"], float]
    nested: dict[str, list[Person]]


class Shapes(BaseModel):
    pair: tuple[int, str]
    many: tuple[float, ...]
    colour: Colour
    either: int | str | None
    exact: Literal["x", 1, None]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    first_name: str = Field(alias="firstName", min_length=1)
    share: float = Field(ge=0, le=1)
    step: int = Field(multiple_of=5, ge=0, le=100)


class Base(BaseModel):
    id: int


class Derived(Base):
    tags: set[str] = Field(max_length=3)


class Everything(BaseModel):
    person: Person
    pets: Pets
    meeting: Meeting | None = None


MODELS: Final[list[type[BaseModel]]] = [
    Person, Customer, Tree, LinkedList, Pets, AnyPet, Meeting, Maps, Shapes, Strict, Derived, Everything,
]  # fmt: skip

_IN_PART: Final[dict[type[BaseModel], frozenset[str]]] = {Derived: frozenset({"uniqueItems"})}

# -- by hand, and what zod-to-json-schema and z.toJSONSchema write --------------------------------------------------

_ZOD7: Final = {"$schema": "http://json-schema.org/draft-07/schema#"}
_ZOD: Final = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def _object(properties: dict[str, Any], *optional: str, **more: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_BOOLEAN: Final = {"type": "boolean"}
_EMAIL: Final = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"

HAND: Final[dict[str, Case]] = {
    "json mode": Case({"type": "object"}),
    "anything": Case({}),
    "flat": Case(_object({"name": _STRING, "age": _INTEGER, "ok": _BOOLEAN})),
    "optional": Case(_object({"a": _INTEGER, "b": _STRING, "c": _BOOLEAN}, "a", "c")),
    "all optional": Case(_object({"a": _INTEGER, "b": _STRING}, "a", "b")),
    "unicode": Case(
        _object({"größe": _INTEGER, "名前": {"enum": ["はい", "いいえ"]}, '"\\\n': {"const": "é\t\U0001f600"}})
    ),
    "mixed enum": Case({"enum": ["a", 1, 2.5, True, None, ["x", {"y": []}], {"k": "v"}]}),
    "numeric enum": Case({"enum": [1, -2, 300]}),
    "const object": Case({"const": {"a": [1, "b", None]}}),
    "nullable": Case({"type": ["string", "null"], "maxLength": 5}),
    "type list": Case({"type": ["integer", "boolean", "array"], "items": _INTEGER, "maxItems": 3}),
    "bounds": Case({"type": "integer", "minimum": -5, "exclusiveMaximum": 1000}),
    "old bounds": Case(
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "type": "integer",
            "minimum": 5,
            "exclusiveMinimum": False,
            "maximum": 9,
        }
    ),
    "number bounds": Case({"type": "number", "exclusiveMinimum": 0, "maximum": 99.5}),
    "multiple": Case({"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 10}),
    "length": Case({"type": "string", "minLength": 3, "maxLength": 6}),
    "pattern": Case({"type": "string", "pattern": "^[A-C]{2}-[0-9]+$"}),
    "loose pattern": Case({"type": "string", "pattern": "b+", "maxLength": 8}),
    "password": Case({"type": "string", "pattern": r"^(?=.*[A-Z])(?=.*\d)[A-Za-z\d]{4,8}$"}),
    "pattern and length": Case({"type": "string", "pattern": r"^\w+$", "minLength": 2, "maxLength": 4}),
    "date": Case({"type": "string", "format": "date"}),
    "date-time": Case({"type": "string", "format": "date-time"}),
    "time": Case({"type": "string", "format": "time"}),
    "duration": Case({"type": "string", "format": "duration"}),
    "email": Case({"type": "string", "format": "email"}),
    "uuid": Case({"type": "string", "format": "uuid"}),
    "ipv4": Case({"type": "string", "format": "ipv4"}),
    "ipv6": Case({"type": "string", "format": "ipv6"}),
    "uri": Case({"type": "string", "format": "uri"}),
    "unknown format": Case({"type": "string", "format": "phone"}, frozenset({"format phone"})),
    "array": Case({"type": "array", "items": _INTEGER, "minItems": 1, "maxItems": 4}),
    "array of arrays": Case(
        {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": _BOOLEAN}}}
    ),
    "tuple": Case({"type": "array", "prefixItems": [_INTEGER, _STRING], "items": False, "minItems": 2}),
    "old tuple": Case({**_ZOD7, "type": "array", "items": [_INTEGER, _BOOLEAN], "minItems": 2, "maxItems": 2}),
    "unique": Case(
        {"type": "array", "items": _BOOLEAN, "uniqueItems": True, "maxItems": 3}, frozenset({"uniqueItems"})
    ),
    "contains": Case({"type": "array", "items": _INTEGER, "contains": {"const": 1}}, frozenset({"contains"})),
    "map": Case({"type": "object", "additionalProperties": _INTEGER, "maxProperties": 3}),
    "map of names": Case({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}, "additionalProperties": _STRING}),
    "record": Case(
        {
            **_ZOD,
            "type": "object",
            "propertyNames": {"enum": ["x", "y"]},
            "additionalProperties": _INTEGER,
            "required": ["x", "y"],
        }
    ),
    "pattern properties": Case(
        {"type": "object", "patternProperties": {"^n_": _INTEGER, "^s_": _STRING}, "additionalProperties": False}
    ),
    "named and others": Case(_object({"id": _INTEGER}, additionalProperties=_STRING)),
    "open": Case(_object({"id": _INTEGER}, additionalProperties=True)),
    "at least one": Case(
        _object({"a": _INTEGER, "b": _INTEGER}, "a", "b", additionalProperties=False, minProperties=1)
    ),
    "counted": Case(
        _object({"a": _INTEGER, "b": _INTEGER, "c": _INTEGER}, "a", "b", "c", minProperties=2),
        frozenset({"minProperties"}),
    ),
    "any of": Case({"anyOf": [_INTEGER, {"type": "string", "maxLength": 4}, {"type": "null"}]}),
    "any of objects": Case({"anyOf": [_object({"a": _INTEGER}), _object({"b": _STRING})]}),
    "one of": Case({"oneOf": [{"type": "integer", "maximum": 3}, _STRING]}),
    "one of that overlap": Case(
        {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]}, frozenset({"oneOf"})
    ),
    "all of": Case({"allOf": [_object({"a": _INTEGER}), _object({"b": _BOOLEAN})]}),
    "all of references": Case(
        {
            "$defs": {"A": _object({"a": _INTEGER}), "B": _object({"b": _STRING})},
            "allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
        }
    ),
    "reference with siblings": Case(
        {"$defs": {"A": _object({"a": _INTEGER})}, "$ref": "#/$defs/A", "properties": {"b": _STRING}, "required": ["b"]}
    ),
    "not": Case({"type": "string", "not": {"const": "x"}, "maxLength": 2}, frozenset({"not"})),
    "never": Case(_object({"a": _INTEGER, "b": {"not": {}}}, "b")),
    "conditional": Case(
        {
            **_object({"a": _BOOLEAN, "b": _INTEGER}, "b"),
            "if": {"properties": {"a": {"const": True}}},
            "then": {"required": ["b"]},
        },
        frozenset({"if", "then"}),
    ),
    "tree": Case(
        {
            "$ref": "#/$defs/N",
            "$defs": {
                "N": _object(
                    {
                        "v": _INTEGER,
                        "l": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]},
                        "r": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]},
                    }
                )
            },
        }
    ),
    "mutual": Case(
        {
            "$defs": {"A": _object({"b": {"$ref": "#/$defs/B"}}, "b"), "B": _object({"a": {"$ref": "#/$defs/A"}}, "a")},
            "$ref": "#/$defs/A",
        }
    ),
    "root reference": Case(
        _object({"name": _STRING, "inner": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}})
    ),
    "json value": Case(
        {
            "$defs": {
                "v": {
                    "anyOf": [
                        _STRING,
                        _INTEGER,
                        _BOOLEAN,
                        {"type": "null"},
                        {"type": "array", "items": {"$ref": "#/$defs/v"}},
                        {"type": "object", "additionalProperties": {"$ref": "#/$defs/v"}},
                    ]
                }
            },
            "$ref": "#/$defs/v",
        }
    ),
    "escaped reference": Case({"$defs": {"a/b~ c": _BOOLEAN}, **_object({"x": {"$ref": "#/$defs/a~1b~0%20c"}})}),
    "anchor": Case({"$defs": {"any": {"$anchor": "here", "type": "boolean"}}, **_object({"x": {"$ref": "#here"}})}),
    "own address": Case(
        {
            "$id": "https://example.com/s.json",
            "definitions": {"f": _BOOLEAN},
            **_object({"x": {"$ref": "https://example.com/s.json#/definitions/f"}}),
        }
    ),
    "far reference": Case(
        {
            "components": {"schemas": {"F": _object({"x": _INTEGER})}},
            "type": "array",
            "items": {"$ref": "#/components/schemas/F"},
            "maxItems": 2,
        }
    ),
    "zod user": Case(
        {
            **_ZOD7,
            **_object(
                {
                    "id": {"type": "string", "format": "uuid"},
                    "role": {"type": "string", "enum": ["admin", "user"]},
                    "age": {"type": "integer", "exclusiveMinimum": 0},
                },
                "age",
                additionalProperties=False,
            ),
        }
    ),
    "zod repeated": Case(
        {
            **_ZOD7,
            **_object(
                {"a": _object({"x": _INTEGER}, additionalProperties=False), "b": {"$ref": "#/properties/a"}},
                additionalProperties=False,
            ),
        }
    ),
    "zod union": Case(
        {
            **_ZOD7,
            "anyOf": [
                _object({"type": {"type": "string", "const": "a"}, "n": {"type": "number"}}),
                _object({"type": {"type": "string", "const": "b"}}),
            ],
        }
    ),
    "zod discriminated": Case(
        {
            **_ZOD,
            "oneOf": [
                _object({"type": {"type": "string", "const": "a"}, "n": _INTEGER}, additionalProperties=False),
                _object({"type": {"type": "string", "const": "b"}}, additionalProperties=False),
            ],
        }
    ),
    "zod email": Case(
        {**_ZOD, **_object({"mail": {"type": "string", "format": "email", "pattern": _EMAIL}})}, frozenset({"pattern"})
    ),
    "zod date": Case(
        {**_ZOD, "type": "string", "format": "date", "pattern": r"^(?:\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8]))$"}
    ),
    "zod lazy": Case(
        {
            **_ZOD,
            "$ref": "#/$defs/__schema0",
            "$defs": {
                "__schema0": _object(
                    {"name": _STRING, "sub": {"type": "array", "items": {"$ref": "#/$defs/__schema0"}}},
                    additionalProperties=False,
                )
            },
        }
    ),
    "zod nullish": Case(
        {
            **_ZOD7,
            **_object(
                {"a": {"anyOf": [{"anyOf": [{"not": {}}, _STRING]}, {"type": "null"}]}}, "a", additionalProperties=False
            ),
        }
    ),
    "zod record": Case(
        {
            **_ZOD7,
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "number"}},
            "propertyNames": {"minLength": 1, "maxLength": 5},
        }
    ),
    "zod intersection": Case({**_ZOD7, "allOf": [_object({"a": _STRING}), _object({"b": {"type": "number"}}, "b")]}),
    "zod integer": Case({**_ZOD, "type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991}),
    "openai style": Case(
        _object(
            {
                "steps": {
                    "type": "array",
                    "items": _object({"explanation": _STRING, "output": _STRING}, additionalProperties=False),
                },
                "final": _STRING,
            },
            additionalProperties=False,
        )
    ),
    "annotated": Case(
        _object(
            {
                "a": {
                    "type": "integer",
                    "title": "A",
                    "description": "…",
                    "default": 3,
                    "examples": [1],
                    "deprecated": True,
                    "x-order": 1,
                }
            },
            title="T",
        )
    ),
}

CASES: Final[dict[str, Case]] = {
    **HAND,
    **{
        f"pydantic {model.__name__}": Case(model.model_json_schema(), _IN_PART.get(model, frozenset()), model)
        for model in MODELS
    },
}
