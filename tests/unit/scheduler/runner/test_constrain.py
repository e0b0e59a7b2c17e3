"""Matchers over a vocabulary of bytes: what a constraint lets pass, and what is refused."""

import json
from typing import Any

import numpy as np
import pytest

from scheduler.frames import Constraint
from scheduler.runner.constrain import ConstraintError, Constraints
from tests.unit.scheduler.runner.letters import BOS, EOS, SIZE, letters

VOCABULARY = letters()


def schema(value: Any) -> Constraint:
    return Constraint("json_schema", json.dumps(value))


def passes(constraint: Constraint, text: str) -> bool:
    """Whether the whole text may be said, and may end there."""
    matcher = Constraints(VOCABULARY).compile(constraint)
    for byte in (*text.encode(), EOS):
        logits = np.zeros(SIZE + 6, np.float32)  # models pad their logits
        matcher.mask(logits)
        assert np.isneginf(logits[SIZE:]).all()
        assert np.isneginf(logits[BOS])
        if np.isneginf(logits[byte]):
            return False
        matcher.consume(byte)
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
    ],
)
def test_schemas(asked: Any, text: str, fits: bool) -> None:
    assert passes(schema(asked), text) is fits


def test_parts_of_a_schema_do_not_forbid_each_other() -> None:
    a = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    b = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
    assert passes(schema({"allOf": [a, b]}), '{"a":1,"b":2}')


@pytest.mark.parametrize(
    ("kind", "source"), [("regex", "ab+"), ("lark", 'start: "a" "b"+'), ("gbnf", 'root ::= "a" "b"+')]
)
def test_other_kinds_of_grammar(kind: Any, source: str) -> None:
    assert passes(Constraint(kind, source), "abb")
    assert not passes(Constraint(kind, source), "ac")


def test_a_matcher_tells_when_nothing_may_follow() -> None:
    matcher = Constraints(VOCABULARY).compile(Constraint("regex", "ab"))
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
        Constraint("lark", "start: x"),
    ],
    ids=["type", "json", "number", "depth", "regex", "lark"],
)
def test_what_cannot_be_compiled(constraint: Constraint) -> None:
    with pytest.raises(ConstraintError):
        Constraints(VOCABULARY).compile(constraint)


def test_a_vocabulary_without_an_end_cannot_follow_a_format() -> None:
    with pytest.raises(ConstraintError, match="end-of-sequence"):
        Constraints(letters(add_eos=False)).compile(schema({}))


def test_a_vocabulary_without_a_beginning_can() -> None:
    Constraints(letters(add_bos=False)).compile(schema({}))
