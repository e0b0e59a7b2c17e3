"""What is left out of a schema that the compiler refuses, and where its fault is."""

from typing import Any

import pytest

from scheduler.runner.constrain.schema import SchemaError, locate, relax


def refuses(*words: str) -> Any:
    """A compiler that refuses schemas in which one of these words stands."""

    def probe(schema: object) -> str:
        return next((f"no {word}" for word in words if word in repr(schema)), "")

    return probe


def test_only_what_must_go_goes() -> None:
    schema = {"properties": {"a": {"pattern": "^bad$", "minLength": 1}, "b": {"pattern": "^good$"}}}
    assert relax(schema, refuses("bad")) == {"pattern"}
    assert schema == {"properties": {"a": {"minLength": 1}, "b": {"pattern": "^good$"}}}


def test_a_format_goes_before_the_pattern_that_it_does_not_agree_with() -> None:
    schema: Any = {"format": "time", "pattern": "^x$"}

    def probe(one: Any) -> str:
        return "empty" if "format" in one and "pattern" in one else ""

    assert relax(schema, probe) == {"format"}
    assert schema == {"pattern": "^x$"}


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 3, "maximum": 1},
        {"type": "integer", "exclusiveMinimum": 1, "maximum": 1.5},
        {"minLength": 2, "maxLength": 1},
    ],
)
def test_contradictions_stay(schema: dict[str, Any]) -> None:
    """They are the client's to hear of."""
    before = dict(schema)
    assert relax(schema, lambda one: "no" if len(one) > 2 else "") == set()
    assert schema == before


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(SchemaError) as caught:
        relax({"items": {"pattern": "("}}, refuses("("))
    assert caught.value.place == ("items", "pattern")


def test_of_patterns_of_names_that_overlap_the_first_stays() -> None:
    schema: Any = {"patternProperties": {"^a": {}, "b$": {}, "^c": {}}}

    def probe(one: Any) -> str:
        return "overlap" if {"^a", "b$"} <= one.get("patternProperties", {}).keys() else ""

    assert relax(schema, probe) == {"patternProperties"}
    assert schema == {"patternProperties": {"^a": {}, "^c": {}}}


def test_the_innermost_fault_is_found() -> None:
    schema: Any = {"$defs": {"d": {"not": {}}}, "properties": {"a": {}, "b": {"items": {"const": "bad"}}}}

    def probe(one: Any) -> str:
        place = one["$ref"].removeprefix("#/$defs/root")
        return "because" if place and "/properties/b/items".startswith(place) else ""

    error = locate(schema, probe, "outside")
    assert (error.place, error.reason) == (("properties", "b", "items"), "because")


def test_a_fault_of_the_whole_is_the_roots() -> None:
    assert locate({"items": {}}, lambda one: "", "outside").place == ()
