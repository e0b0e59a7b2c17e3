"""Objects have the properties that are named for them, and no others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.constrain.schema import closed

A: dict[str, Any] = {"properties": {"a": {"type": "integer"}}}
B: dict[str, Any] = {"properties": {"b": {"type": "integer"}}}
ONLY: dict[str, Any] = {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "read"),
    [
        ({"type": "object"}, {"type": "object"}),
        (A, {**A, **ONLY}),
        ({**A, "additionalProperties": True}, {**A, "additionalProperties": True}),
        ({"items": A}, {"items": {**A, **ONLY}}),
        ({"prefixItems": [A, B]}, {"prefixItems": [{**A, **ONLY}, {**B, **ONLY}]}),
        ({"properties": {"x": A}}, {"properties": {"x": {**A, **ONLY}}, **ONLY}),
        ({"anyOf": [A, B]}, {"anyOf": [{**A, **ONLY}, {**B, **ONLY}]}),
        ({"allOf": [A]}, {"allOf": [{**A, **ONLY}]}),
        ({"$defs": {"x": A}}, {"$defs": {"x": {**A, **ONLY}}}),
        ({"const": A, "enum": [A], "default": A, "examples": [A]}, None),
        ({"properties": {"enum": A}}, {"properties": {"enum": {**A, **ONLY}}, **ONLY}),
        (True, True),
    ],
)
def test_objects_are_closed_wherever_they_are_described(schema: Any, read: Any) -> None:
    assert closed(schema) == (schema if read is None else read)


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [A, B]},
        {**A, "allOf": [B]},
        {**A, "anyOf": [B]},
        {"allOf": [A, {"oneOf": [B, {"required": ["c"]}]}]},
        {"$defs": {"a": A, "b": B}, "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]},
        {"definitions": {"a": A}, **B, "allOf": [{"$ref": "#/definitions/a"}]},
        {"definitions": {"a": A}, **B, "$ref": "#/definitions/a"},
    ],
)
def test_an_object_that_several_schemas_describe_is_open(schema: Any) -> None:
    """Each would forbid what the others demand."""
    assert closed(schema) == schema


def test_what_is_inside_of_such_an_object_is_closed() -> None:
    schema = {"allOf": [{"properties": {"x": A}}, B]}
    assert closed(schema) == {"allOf": [{"properties": {"x": {**A, **ONLY}}}, B]}


keys = st.sampled_from(["properties", "allOf", "anyOf", "$defs", "$ref", "items", "enum", "type", "x"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_taken_and_closing_twice_changes_nothing_more(schema: Any) -> None:
    once = closed(schema)
    assert closed(once) == once
