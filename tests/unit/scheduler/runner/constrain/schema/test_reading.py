"""What a client's schema becomes, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.constrain.schema import SchemaError, read
from scheduler.runner.constrain.schema.errors import pointer

ANY: dict[str, Any] = {}
NOTHING: set[str] = set()
INTEGER: dict[str, Any] = {"type": "integer"}


def adapted(schema: Any) -> Any:
    return read(json.dumps(schema)).schema


def ignored(schema: Any) -> set[str]:
    return read(json.dumps(schema)).ignored


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "nope"}, "#/type"),
        ({"type": []}, "#/type"),
        ({"properties": 5}, "#/properties"),
        ({"properties": {"a/b": {"items": {"minItems": -1}}}}, "#/properties/a~1b/items/minItems"),
        ({"properties": {"a": 5}}, "#/properties/a"),
        ({"items": [True, 3]}, "#/items/1"),
        ({"anyOf": []}, "#/anyOf"),
        ({"enum": []}, "#/enum"),
        ({"enum": 3}, "#/enum"),
        ({"required": "a"}, "#/required"),
        ({"minimum": "1"}, "#/minimum"),
        ({"minimum": True}, "#/minimum"),
        ({"maxLength": 1.5}, "#/maxLength"),
        ({"multipleOf": 0}, "#/multipleOf"),
        ({"pattern": 1}, "#/pattern"),
        ({"$ref": "#/nowhere"}, "#/$ref"),
        ({"$ref": "https://example.com/schema.json"}, "#/$ref"),
        ({"$ref": "#missing"}, "#/$ref"),
        ({"$ref": "#"}, "#/$ref"),
        ({"$ref": 5}, "#/$ref"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "items": {"$ref": "#/$defs/a"}}, "#"),
        ({"$defs": {"a": 1}, "items": {"$ref": "#/$defs/a"}}, "#/$defs/a"),
        ([1], "#"),
        ("text", "#"),
    ],
)
def test_what_is_malformed_is_named_by_its_place(schema: Any, place: str) -> None:
    with pytest.raises(SchemaError) as caught:
        read(json.dumps(schema))
    assert str(caught.value).startswith(f"invalid JSON schema at {place}")


@pytest.mark.parametrize("source", ["", "{", '{"a": NaN}', '{"minimum": ' + "9" * 5000 + "}", "[" * 100_000])
def test_what_is_no_json(source: str) -> None:
    with pytest.raises(SchemaError):
        read(source)


@pytest.mark.parametrize("levels", [99, 5_000])
def test_depth_is_limited(levels: int) -> None:
    with pytest.raises(SchemaError, match="nested"):
        read('{"items":' * levels + '{"const": [[]]}' + "}" * levels)


def test_size_is_limited() -> None:
    with pytest.raises(SchemaError, match="too large"):
        adapted({"anyOf": [{"const": number} for number in range(20_000)]})
    with pytest.raises(SchemaError, match="too large"):
        adapted({"properties": {str(number): {} for number in range(2_000)}})


@pytest.mark.parametrize(
    ("schema", "read_as"),
    [
        ({"type": "string", "format": "guid"}, {"type": "string", "format": "uuid"}),
        ({"type": "integer", "format": "int64"}, {"type": "integer"}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "x-guidance": {}, "$id": "x"}, {}),
        ({"not": {}}, False),
        ({"maxLength": 10**12, "minLength": 2.0}, {"minLength": 2}),
        ({"pattern": "^(?=.*a)(?=b)c$"}, {"pattern": "^(?:.*a)", "allOf": [{"pattern": "^(?:b)"}, {"pattern": "^c$"}]}),
        (
            {"propertyNames": {"enum": ["a", "b"]}, "additionalProperties": INTEGER},
            {"properties": {"a": INTEGER, "b": INTEGER}, "additionalProperties": False},
        ),
        (
            {"propertyNames": {"maxLength": 3}},
            {"patternProperties": {"^(?s:.{0,3})$": True}, "additionalProperties": False},
        ),
        ({"propertyNames": {"pattern": "^x"}}, {"patternProperties": {"^x": True}, "additionalProperties": False}),
        ({"propertyNames": {}, "uniqueItems": False}, {"uniqueItems": False}),
    ],
)
def test_what_can_be_said_in_other_words(schema: Any, read_as: Any) -> None:
    assert adapted(schema) == read_as
    assert ignored(schema) == set()


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ({"not": {"const": 1}}, {"not"}),
        ({"if": True, "then": False}, {"if", "then"}),
        ({"uniqueItems": True}, {"uniqueItems"}),
        ({"type": "string", "format": "colour"}, {"format colour"}),
        ({"pattern": "^(?!a)b"}, {"pattern"}),
        ({"properties": {"a": {"required": True}}}, {"required"}),
        ({"properties": {"a": ANY, "b": ANY}, "maxProperties": 1}, NOTHING),
        ({"properties": {"a": ANY, "b": ANY}, "maxProperties": 1, "additionalProperties": ANY}, {"maxProperties"}),
        ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": ANY}}]}, {"unevaluatedProperties"}),
        ({"unevaluatedProperties": False, "properties": {"a": ANY}}, NOTHING),
        ({"propertyNames": {"format": "uuid"}}, {"propertyNames"}),
        ({"multipleOf": 0.123456}, {"multipleOf"}),
        ({"properties": {"not": ANY, "if": ANY, "contains": ANY}}, NOTHING),
        ({"const": {"not": 1}, "enum": [{"if": 1}], "default": {"uniqueItems": True}}, NOTHING),
    ],
)
def test_what_is_not_enforced_is_named(schema: Any, names: set[str]) -> None:
    assert ignored(schema) == names


KIND_A: dict[str, Any] = {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]}
KIND_B: dict[str, Any] = {"type": "object", "properties": {"kind": {"enum": ["b", "c"]}}, "required": ["kind"]}


@pytest.mark.parametrize(
    ("options", "apart"),
    [
        ([{"type": "string"}, INTEGER, {"type": "null"}], True),
        ([INTEGER, {"type": "number"}], False),
        ([{"const": 1}, {"const": 1.0}], False),
        ([{"const": 1}, {"const": True}], True),
        ([{"enum": ["a", 1]}, {"enum": ["b", 2]}], True),
        ([{"const": "a"}, {"type": "array"}], True),
        ([KIND_A, KIND_B], True),
        ([KIND_A, KIND_A], False),
        ([KIND_A, {"type": "object"}], False),
        ([KIND_A, {"type": "object", "properties": {"x": ANY}, "additionalProperties": False}], True),
        ([{"allOf": [KIND_A]}, {"anyOf": [KIND_B, INTEGER]}], True),
        ([{"anyOf": [KIND_A, INTEGER]}, KIND_A], False),
        ([{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], True),
        ([True, INTEGER], False),
        ([False, INTEGER], True),
        ([{"$ref": "#/$defs/l"}, {"$ref": "#/$defs/l"}], False),
    ],
)
def test_alternatives_that_exclude_each_other(options: list[Any], apart: bool) -> None:
    looped = {"allOf": [{"anyOf": [{"$ref": "#/$defs/l"}, INTEGER]}]}
    schema = {"$defs": {"a": KIND_A, "b": KIND_B, "l": looped}, "oneOf": options}
    assert ("oneOf" not in ignored(schema)) is apart


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "array", "prefixItems": [{"$ref": "#"}], "minItems": 1},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"type": "array", "items": {"$ref": "#"}, "minItems": 2}]},
    ],
)
def test_what_never_ends(schema: Any) -> None:
    with pytest.raises(SchemaError, match="without an end"):
        read(json.dumps(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"x": {"$ref": "#"}}},
        {"type": "array", "items": {"$ref": "#"}},
        {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": 1}, INTEGER]},
        {"type": ["object", "null"], "properties": {"x": {"$ref": "#"}}, "required": ["x"]},
    ],
)
def test_what_may_end(schema: Any) -> None:
    read(json.dumps(schema))


@pytest.mark.parametrize(
    ("reference", "document"),
    [
        ("#/$defs/a~1b", {"$defs": {"a/b": INTEGER}}),
        ("#/$defs/a%20b", {"$defs": {"a b": INTEGER}}),
        ("#here", {"$defs": {"a": {**INTEGER, "$anchor": "here"}}}),
        ("inner.json", {"$defs": {"a": {**INTEGER, "$id": "inner.json"}}}),
        ("inner.json#/$defs/b", {"$defs": {"a": {"$id": "inner.json", "$defs": {"b": INTEGER}}}}),
        ("#/components/schemas/A", {"components": {"schemas": {"A": INTEGER}}}),
        ("#/not/items", {"not": {"items": INTEGER}}),
    ],
)
def test_references_are_followed_wherever_they_lead(reference: str, document: Any) -> None:
    """The compiler finds plain definitions only."""
    schema = adapted({**document, "items": {"$ref": reference}})
    (name,) = (key for key in schema["$defs"] if schema["items"]["$ref"] == f"#/$defs/{key}")
    assert schema["$defs"][name] == INTEGER


@pytest.mark.parametrize("reference", ["#/$defs/a", "#/definitions/a", "#/properties/a", "#/properties/b/anyOf/1", "#"])
def test_plain_references_stay(reference: str) -> None:
    document: Any = {
        "$defs": {"a": ANY}, "definitions": {"a": ANY}, "properties": {"a": ANY, "b": {"anyOf": [ANY, ANY]}}
    }  # fmt: skip
    assert adapted({**document, "items": {"$ref": reference}})["items"] == {"$ref": reference}


def test_a_pointer_escapes_names() -> None:
    assert pointer(("properties", "a/b~", 0)) == "#/properties/a~1b~0/0"


keywords = st.sampled_from(
    ["properties", "allOf", "anyOf", "oneOf", "$defs", "$ref", "items", "enum", "type", "not", "required", "pattern",
     "minLength", "format", "propertyNames", "additionalProperties", "maximum", "x"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["#", "#/$defs/x", "string", "object", "^a", "date"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_any_json_is_read_or_refused(schema: Any) -> None:
    try:
        found = read(json.dumps(schema))
    except SchemaError:
        return
    json.dumps(found.schema)
