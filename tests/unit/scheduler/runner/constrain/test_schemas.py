"""Whatever a matcher lets through validates against the schema it was made from."""

import datetime
import ipaddress
import json
import logging
import random
import uuid
from collections.abc import Callable
from typing import Any, Final, cast

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from jsonschema.validators import validator_for

from scheduler.frames import Constraint
from scheduler.runner.constrain.constraints import ConstraintError, Constraints, Matcher
from scheduler.runner.constrain.schema import closed
from tests.unit.scheduler.runner.constrain.schemas import CASES, Case
from tests.unit.scheduler.runner.letters import EOS, SIZE, letters

CONSTRAINTS: Final = Constraints(letters())
CLOSERS: Final = frozenset(b'"]}')
PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
FORMATS: Final = jsonschema.FormatChecker(())
READERS: Final[dict[str, Callable[[str], object]]] = {
    "date-time": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}


def reads(read: Callable[[str], object]) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        return not isinstance(value, str) or read(value) is not None

    return check


for name, reader in READERS.items():
    FORMATS.checks(name, ValueError)(reads(reader))


def without(schema: Any, keywords: frozenset[str]) -> Any:
    """The schema without the keywords that are not enforced."""
    if isinstance(schema, list):
        return [without(item, keywords) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    members = cast("dict[str, Any]", schema)
    return {key: without(value, keywords) for key, value in members.items() if key not in keywords}


def validate(case: Case, text: str) -> None:
    """As the client will, and as objects are read here: with the named properties only."""
    value = json.loads(text)
    keywords = frozenset(name.split()[0] for name in case.ignored)
    for schema in (case.schema, closed(case.schema)):
        enforced = without(schema, keywords)
        kind: Any = validator_for(enforced, jsonschema.Draft202012Validator)
        kind(enforced, format_checker=FORMATS).validate(value)
    if case.model is not None and not case.ignored:
        case.model.model_validate_json(text)


def choose(allowed: list[int], random: random.Random) -> int:
    """Something that leads to an end before long."""
    for wanted, chance in ((frozenset({EOS}), 0.9), (CLOSERS, 0.4), (PLAIN, 0.6)):
        some = [token for token in allowed if token in wanted]
        if some and random.random() < chance:
            return random.choice(some)
    return random.choice(allowed)


def say(matcher: Matcher, random: random.Random, most: int = 4000) -> str | None:
    """A random text that the matcher lets pass; None when it does not come to an end."""
    text = bytearray()
    for _ in range(most):
        matcher.prepare()
        bits = np.unpackbits(matcher.mask().view(np.uint8), bitorder="little")
        assert not bits[SIZE:].any()
        allowed = np.flatnonzero(bits).tolist()
        assert allowed, bytes(text)
        token = choose(allowed, random)
        if token == EOS:
            return text.decode()
        text.append(token)
        if matcher.consume(token):
            assert not matcher.error, bytes(text)
            return text.decode()
    return None


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_random_texts_validate(name: str, caplog: pytest.LogCaptureFixture) -> None:
    case = CASES[name]
    with caplog.at_level(logging.WARNING):
        constraint = Constraint("json_schema", json.dumps(case.schema))
        matchers = [CONSTRAINTS.compile(constraint) for _ in range(8)]
    named = {word for record in caplog.records for word in record.getMessage().rpartition(": ")[2].split(", ")}
    assert named == case.ignored, "what is not enforced is logged, and nothing else"
    texts = [say(matcher, random.Random(f"{name} {seed}")) for seed, matcher in enumerate(matchers)]
    ended = [text for text in texts if text is not None]
    assert len(ended) >= 4
    for text in ended:
        validate(case, text)


NAMES: Final = ("a", "b", "ü", 'q"')
ANY: Final[dict[str, Any]] = {}


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    low, size = draw(st.integers(0, 3)), draw(st.integers(0, 20))
    values = st.none() | st.booleans() | st.integers(-9, 9) | st.text("aé\\\n", max_size=2)
    choices: list[dict[str, Any]] = [
        ANY,
        {"type": "boolean"},
        {"type": ["null", "string"]},
        {"type": "integer"},
        {"type": "integer", "minimum": -low, "maximum": size},
        {"type": "string", "minLength": low, "maxLength": low + size},
        {"type": "string", "pattern": "^[a-c]+$"},
        {"type": "string", "format": "date"},
        {"enum": draw(st.lists(values, min_size=1, max_size=3))},
    ]
    return draw(st.sampled_from(choices))


@st.composite
def compounds(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    kind = draw(st.sampled_from(["object", "array", "anyOf", "allOf"]))
    if kind == "object":
        properties = draw(st.dictionaries(st.sampled_from(NAMES), inner, max_size=3))
        required = [name for name in properties if draw(st.booleans())]
        others = draw(
            st.sampled_from([ANY, {"additionalProperties": False}, {"additionalProperties": {"type": "null"}}])
        )
        return {"type": kind, "properties": properties, "required": required, **others}
    if kind == "array":
        least = draw(st.integers(0, 2))
        return {"type": kind, "items": draw(inner), "minItems": least, "maxItems": least + draw(st.integers(0, 2))}
    return {kind: draw(st.lists(inner, min_size=1, max_size=3))}


@given(st.recursive(leaves(), compounds, max_leaves=6), st.integers(0, 1 << 32))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_texts_validate_against_any_schema(schema: Any, seed: int) -> None:
    try:
        matcher = CONSTRAINTS.compile(Constraint("json_schema", json.dumps(schema)))
    except ConstraintError:
        reject()  # nothing satisfies two different members of `allOf`
    text = say(matcher, random.Random(seed), most=500)
    if text is not None:
        validator: Any = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
        validator.validate(json.loads(text))
