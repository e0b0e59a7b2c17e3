"""What a schema says about kinds of values, and what parsers make of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.messages import Parameters, Property, Tool
from server.parse.families.family import types_of
from server.parse.kinds import ANYTHING, is_free, kinds, leaves

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYWORDS = st.sampled_from(["type", "anyOf", "allOf", "oneOf", "$ref", "enum", "const", "properties", "required"])


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({}, []),
        ({"type": "integer"}, ["integer"]),
        ({"type": ["string", "null"]}, ["string", "null"]),
        ({"type": "string, integer"}, ["string", "integer"]),
        ({"type": "date"}, []),
        ({"enum": ["a", 1, None]}, ["string", "integer", "null"]),
        ({"type": "string", "enum": ["a", 1]}, ["string"]),
        ({"const": 2.5}, ["number"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, ["integer", "null"]),
        ({"oneOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}, ["object", "null"]),
        ({"allOf": [{"$ref": "#/$defs/a"}], "description": "d"}, ["object"]),
        ({"allOf": [{"type": "object"}, {"required": ["x"]}]}, ["object"]),
        ({"$ref": "#/$defs/a"}, ["object"]),
        ({"$ref": "#/$defs/itself"}, []),
        ({"$ref": "https://example.com/schema"}, []),
        ({"properties": {}}, ["object"]),
        ({"items": {}}, ["array"]),
    ],
)
def test_kinds(schema: dict[str, Any], found: list[str]) -> None:
    root = {"$defs": {"a": {"type": "object"}, "itself": {"$ref": "#/$defs/itself"}}}
    assert kinds(schema, root) == found


def test_alternatives_have_what_stands_beside_them() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": {}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    assert [leaf["required"] for leaf in leaves(schema, ANYTHING)] == [["a"], ["b"]]


def test_alternatives_without_end_are_anything() -> None:
    schema = {"anyOf": [{"$ref": "#"}] * 3}
    assert leaves(schema, schema) == [ANYTHING]


def test_whether_any_members_may_stand_in_an_object() -> None:
    assert is_free({"type": "object"})
    assert is_free({"additionalProperties": {"type": "string"}})
    stated: list[dict[str, Any]] = [{"properties": {}}, {"required": ["a"]}, {"additionalProperties": False}]
    assert not any(map(is_free, stated))


@settings(max_examples=30)
@given(st.dictionaries(KEYWORDS, JSON, max_size=4))
def test_nothing_that_stands_for_a_schema_fails(schema: dict[str, Any]) -> None:
    assert set(kinds(schema, {"$defs": schema})) <= {
        "string",
        "integer",
        "number",
        "boolean",
        "null",
        "array",
        "object",
    }


def test_parsers_know_the_types_behind_references_and_listed_values() -> None:
    properties: dict[str, Any] = {"point": {"$ref": "#/$defs/p"}, "level": {"enum": [1, 2]}, "text": {"enum": ["1"]}}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "$defs": {"p": {"type": "object"}}}
    declared = {"point": Property(), "level": Property(enum=[1, 2]), "text": Property(enum=["1"])}
    tool = Tool("function", name="f", parameters=Parameters("object", properties=declared, schema=schema))
    assert [types_of([tool], "f", key) for key in properties] == [["object"], ["integer"], ["string"]]
