"""Whatever the grammars admit, the parsers read as calls that conform."""

from itertools import product
from typing import Any, Final, cast

import pytest
from jsonschema import Draft202012Validator

from tests.unit.server.parse.syntax.markup import CLOSINGS, DISTINCT, MARKUP, declared, read
from tests.unit.server.parse.syntax.walks import composed, walk

_SHORT: Final = {"type": "string", "maxLength": 6}
"""Too short for a mark: JSON may hold one within a value, which is not what is tested here."""
_POINT: Final = {
    "type": "object",
    "properties": {
        "x": {"type": "number"},
        "name": _SHORT,
        "on": {"type": "boolean"},
        "next": {"$ref": "#/$defs/point"},
    },
    "required": ["x"],
    "additionalProperties": False,
}
_SEARCH: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 50},
        "page": {"type": "integer"},
        "ratio": {"type": "number"},
        "exact": {"type": "boolean"},
        "colour": {"enum": ["red", "dark blue", 'it\'s "x" & <y>', ""]},
        "level": {"enum": ["auto", 3, 2.5, True]},
        "fixed": {"const": "always"},
        "size": {"anyOf": [{"type": "integer"}, {"type": "null"}, {"type": "array", "items": {"type": "integer"}}]},
        "label": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": _SHORT, "minItems": 1, "maxItems": 3},
        "centre": {"$ref": "#/$defs/point"},
        "any": {},
    },
    "required": ["query", "exact", "centre"],
    "$defs": {"point": _POINT},
}
_TOOLS: Final = [
    declared("search", _SEARCH),
    declared("search_all", {"type": "object", "properties": {"n": {"type": ["integer", "boolean"]}}}),
    declared("now", {"type": "object", "properties": {}}),
    declared("files.note"),
]
_SCHEMAS: Final = {tool.name: tool.parameters.schema or {} for tool in _TOOLS}
_WALKS: Final = 3


@pytest.mark.parametrize(("name", "batch"), [*product(DISTINCT, range(4))])
def test_walks_through_the_grammar_are_calls_that_conform(name: str, batch: int) -> None:
    grammar = composed(MARKUP[name].write(_TOOLS, True))
    seeds = range(batch * _WALKS, (batch + 1) * _WALKS)
    texts = [text for seed in seeds if (text := walk(grammar, seed, CLOSINGS[name])) is not None]
    assert texts
    for text in texts:
        parsed = read(name, _TOOLS, text)
        assert parsed.content.strip() == "", text
        assert parsed.calls, text
        for call in parsed.calls:
            assert not _problems(call.arguments, _SCHEMAS[call.name]), text


@pytest.mark.parametrize("name", DISTINCT)
def test_a_walk_behind_an_opening_is_one_call(name: str) -> None:
    grammar = composed(MARKUP[name].write(_TOOLS, False), "rest")
    for seed in range(_WALKS):
        if text := walk(grammar, seed, CLOSINGS[name]):
            parsed = read(name, _TOOLS, _opened(name) + text)
            assert (parsed.content.strip(), len(parsed.calls)) == ("", 1), text


def _opened(name: str) -> str:
    opening = MARKUP[name].openings[0]
    return f" to=user<|message|>{opening}" if name == "glimmer" else opening


def _problems(arguments: dict[str, Any], schema: Any) -> list[str]:
    validator: Any = Draft202012Validator(_without_lengths(schema))
    return [error.message for error in validator.iter_errors(arguments)]


def _without_lengths(schema: Any) -> Any:
    """Lengths are not enforced in all notations."""
    match schema:
        case dict():
            members = cast("dict[str, Any]", schema)
            return {key: _without_lengths(value) for key, value in members.items() if key != "maxLength"}
        case list():
            return [_without_lengths(item) for item in cast("list[Any]", schema)]
        case _:
            return schema
