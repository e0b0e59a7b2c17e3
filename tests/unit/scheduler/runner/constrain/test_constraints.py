"""Matchers over a vocabulary of bytes: what a constraint lets pass, and what is refused."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scheduler.frames import Calls, Constraint
from scheduler.runner.constrain.constraints import ConstraintError, Constraints
from tests.unit.scheduler.runner.letters import BOS, EOS, SIZE, letters

CONSTRAINTS = Constraints(letters())


def schema(value: Any) -> Constraint:
    return Constraint("json_schema", json.dumps(value))


def passes(constraint: Constraint, text: str) -> bool:
    """Whether the whole text may be said, and may end there."""
    matcher = CONSTRAINTS.compile(constraint)
    said = text.encode()
    for index, byte in enumerate((*said, EOS)):
        bits = np.unpackbits(matcher.mask().view(np.uint8), bitorder="little")
        assert not bits[SIZE:].any(), "models pad their logits"
        assert not bits[BOS]
        assert matcher.admits(byte) == bool(bits[byte])
        if not bits[byte]:
            return False
        if byte != EOS and matcher.consume(byte):
            return index == len(said) - 1 and not matcher.error
    return True


@pytest.mark.parametrize(
    ("asked", "text", "fits"),
    [
        ({"type": "object"}, '{"x": [1, null]}', True),
        ({"type": "object"}, "[]", False),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a":1}', True),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a":1,"b":2}', False),
        ({"enum": ["x", "y"]}, '"y"', True),
        ({"type": "string", "contentEncoding": "nobody knows"}, '"é"', True),
        ({"type": "object"}, "{" + " " * 40, False),
        ({"type": "object"}, '{\n  "x": 1\n}', True),
        ({"type": "object"}, ' {"x": 1}', False),
        ({"properties": {"b": {}, "a": {}}, "required": ["a", "b"], "type": "object"}, '{"b":1,"a":1}', True),
        ({"properties": {"b": {}, "a": {}}, "required": ["a", "b"], "type": "object"}, '{"a":1,"b":1}', False),
    ],
)
def test_schemas(asked: Any, text: str, fits: bool) -> None:
    assert passes(schema(asked), text) is fits


def test_parts_of_a_schema_do_not_forbid_each_other() -> None:
    a = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    b = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
    assert passes(schema({"allOf": [a, b]}), '{"a":1,"b":2}')


@pytest.mark.parametrize(
    ("kind", "source"), [("regex", "ab+"), ("lark", 'start: "a" "b"+'), ("lark", "%llguidance {}\nstart: /ab+/")]
)
def test_other_kinds_of_grammar(kind: Any, source: str) -> None:
    assert passes(Constraint(kind, source), "abb")
    assert not passes(Constraint(kind, source), "ac")


def test_a_matcher_tells_when_nothing_may_follow() -> None:
    matcher = CONSTRAINTS.compile(Constraint("regex", "ab"))
    assert not matcher.consume(ord("a"))
    assert matcher.consume(ord("b"))


@pytest.mark.parametrize(
    "constraint",
    [
        schema({"type": "nope"}),
        Constraint("json_schema", "{"),
        Constraint("json_schema", '{"minimum":' + "9" * 5000 + "}"),
        Constraint("json_schema", '{"items":' * 20_000 + "{}" + "}" * 20_000),
        Constraint("regex", "("),
        Constraint("regex", "[a&&b]"),
        Constraint("regex", "a" * 2_000_000),
        Constraint("lark", "start: x"),
    ],
    ids=["type", "json", "number", "depth", "regex", "nothing", "size", "lark"],
)
def test_what_cannot_be_compiled(constraint: Constraint) -> None:
    with pytest.raises(ConstraintError):
        CONSTRAINTS.compile(constraint)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("(", "invalid regex: unclosed group"),
        ("(a\nb", "invalid regex: unclosed group"),
        ("(?=a)b", "invalid regex: look-around, including look-ahead and look-behind, is not supported"),
        (r"(a)\1", "invalid regex: backreferences are not supported"),
        (r"\ba", "invalid regex: lookarounds not supported yet; WordUnicode in regex /\\ba/"),
    ],
)
def test_what_is_wrong_with_a_regular_expression(source: str, text: str) -> None:
    """The reason, not where it stands in what is made of the expression; alone and beside calls of tools."""
    for calls in (None, Calls('calls: "x"\nrest: "x"', ["x"])):
        with pytest.raises(ConstraintError) as caught:
            CONSTRAINTS.compile(Constraint("regex", source, calls=calls))
        assert str(caught.value) == text


def test_anchors_mean_what_a_regular_expression_means_without_them() -> None:
    assert passes(Constraint("regex", "^(yes|no)$"), "yes")
    assert not passes(Constraint("regex", "yes"), "oh yes")


def test_a_vocabulary_without_an_end_cannot_follow_a_format() -> None:
    with pytest.raises(ConstraintError, match="end-of-sequence"):
        Constraints(letters(add_eos=False)).compile(schema({}))


def test_a_vocabulary_without_a_beginning_can() -> None:
    Constraints(letters(add_bos=False)).compile(schema({}))


def test_only_the_first_request_with_a_schema_pays_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    constraints = Constraints(letters())
    first = constraints.compile(schema({"type": "integer"}))
    first.consume(ord("1"))
    monkeypatch.setattr("scheduler.runner.constrain.guided.from_schema", None)
    again = constraints.compile(schema({"type": "integer"}))
    assert again.admits(ord("-")), "from the beginning"
    assert not first.admits(ord("-"))


def test_what_is_kept_of_old_grammars_is_limited() -> None:
    constraints = Constraints(letters())
    for number in range(200):
        assert constraints.compile(Constraint("regex", f"a{{{number + 1}}}")).admits(ord("a"))


def test_a_mask_stands_until_the_next_token() -> None:
    matcher = CONSTRAINTS.compile(Constraint("regex", "ab"))
    matcher.prepare()
    mask = matcher.mask()
    matcher.prepare()
    assert matcher.mask() is mask
    assert matcher.admits(ord("a"))
    matcher.consume(ord("a"))
    assert not matcher.admits(ord("a"))


def test_a_forbidden_token_ends_the_text_and_is_told() -> None:
    matcher = CONSTRAINTS.compile(Constraint("regex", "ab"))
    assert matcher.consume(ord("x"))
    assert matcher.error


def test_refusals_name_the_place() -> None:
    asked = {"type": "object", "properties": {"a": {"items": {"pattern": "("}}}}
    with pytest.raises(ConstraintError, match="#/properties/a/items/pattern"):
        CONSTRAINTS.compile(schema(asked))


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"type": "string", "minLength": 5, "maxLength": 3}, "#"),
        ({"anyOf": [{"type": "integer", "minimum": 5, "maximum": 3}]}, "#/anyOf/0"),
        ({"type": "array", "minItems": 2, "items": {"type": "array", "items": False, "minItems": 1}}, "#/items"),
        ({"allOf": [{"type": "string"}, {"type": "object"}]}, "#"),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 1}}}, "#"),
    ],
)  # fmt: skip
def test_what_nothing_can_satisfy(asked: Any, place: str) -> None:
    with pytest.raises(ConstraintError, match=place):
        CONSTRAINTS.compile(schema(asked))


def test_definitions_in_a_long_row_are_refused_by_name() -> None:
    chained = _chain(501, lambda ref: {"type": "object", "properties": {"x": ref}})
    with pytest.raises(ConstraintError, match="definitions use each other more than 500 deep"):
        CONSTRAINTS.compile(schema(chained))


def _chain(size: int, link: Callable[[Any], Any]) -> dict[str, Any]:
    """Definitions that refer to the next one, each more than once."""
    definitions = {f"a{n}": link({"$ref": f"#/$defs/a{n + 1}"}) for n in range(size)}
    return {"$defs": {**definitions, f"a{size}": {"type": "string"}}, "$ref": "#/$defs/a0"}


def _cross(branches: int, factors: int) -> dict[str, Any]:
    names = [[f"k{factor}_{branch}" for branch in range(branches)] for factor in range(factors)]
    return {"allOf": [{"anyOf": [{"properties": {name: {"type": "string"}}} for name in some]} for some in names]}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "asked",
    [
        _chain(60, lambda ref: {"type": "object", "properties": {"x": ref, "y": ref}, "required": ["x", "y"]}),
        _chain(60, lambda ref: {"allOf": [ref, ref]}),
        _chain(60, lambda ref: {"anyOf": [ref, ref]}),
        _chain(60, lambda ref: {"oneOf": [ref, ref]}),
        _chain(5_000, lambda ref: {"type": "object", "properties": {"x": ref}}),
        _chain(400, lambda ref: {"type": "object", "properties": {"x": ref}}),
        _cross(10, 8),
        {"enum": [f"value {n}" for n in range(50_000)]},
        {"enum": list(range(5_000))},
        {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(400)}},
        {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(900)}},
        {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(100_000)}},
        {"anyOf": [{"const": n} for n in range(20_000)]},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "maxItems": 10**30, "items": {"type": "array", "minItems": 10**18}},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "maxLength": 10**9},
        {"type": "string", "pattern": "^((a{1,100}){1,100}){1,100}$"},
        {"type": "string", "pattern": "^(a+)+$"},
        {"type": "string", "pattern": "^(.*a.{20}b.*|.*c.{30}.*)$", "minLength": 100, "maxLength": 5000},
        {"type": "string", "pattern": ".*.*.*.*=.*{1000}"},
        {"type": "integer", "multipleOf": 99_991},
        {"type": "number", "multipleOf": 1e-12, "minimum": 0.1, "maximum": 1e18},
        {"type": "integer", "minimum": -(10**300), "maximum": 10**300},
        {"patternProperties": {f"^{letter}": {"type": "integer"} for letter in "abcdefghijklmnopqrstuvwxyz"}},
    ],
    ids=range(25),
)  # fmt: skip
def test_bombs_are_defused_or_refused(asked: Any) -> None:
    """In bounded time and memory; what is served says something."""
    try:
        matcher = CONSTRAINTS.compile(schema(asked))
    except ConstraintError:
        return
    for _ in range(20):
        (allowed,) = np.unpackbits(matcher.mask().view(np.uint8), bitorder="little").nonzero()
        if matcher.consume(int(allowed[-1])):
            break
