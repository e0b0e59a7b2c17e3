"""Calls with JSON arguments: what the grammars of these families admit, their parsers read, and the other way round."""

import json
import re
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest

from server.messages import Message, Parameters, Tool, ToolCall
from server.parse import family_parser
from server.parse.families import FAMILIES
from server.parse.syntax import SYNTAXES
from server.prompt.renderers import RENDERERS
from tests.unit.server.parse.syntax.walks import accepted, admits, composed, refused, walk

WEATHER: dict[str, Any] = {
    "type": "object",
    "required": ["city"],
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "unit": {"type": "string", "enum": ["c", "f"]},
        "where": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
    },
}
FAMILIES_HERE = ("qwen3", "qwen3-thinking", "deepseek3", "cogito", "ministral", "harmony", "cohere")
RENDERED = {"deepseek3": "deepseek3.1", "cogito": "cogito", "cohere": "cohere", "qwen3": "qwen3-vl-instruct"}


def tool(name: str, schema: dict[str, Any] | None) -> Tool:
    parameters = Parameters("object", schema=schema)
    return Tool("function", name=name, description="x", parameters=parameters)


HUGE = re.compile("[eE][+-]?[0-9]{3}")
"""A number beyond all doubles is JSON, but no value."""
TOOLS = [tool("get_weather", WEATHER), tool("now", None)]


def read(family: str, text: str, *, tools: Sequence[Tool] = TOOLS) -> tuple[str, list[ToolCall]]:
    """What the family's parser makes of an answer without reasoning."""
    parser = family_parser(FAMILIES[family], tools, None, False)
    parsed = parser.feed(text) + parser.finish()
    return parsed.content, list(parsed.calls)


def grammar(family: str, start: str = "calls", *, many: bool = True) -> str:
    return composed(SYNTAXES[family].write(TOOLS, many), start)


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("family", FAMILIES_HERE)
def test_whatever_the_grammar_admits_is_read_as_calls_that_conform(family: str, many: bool) -> None:
    source, whole = grammar(family, many=many), 0
    for seed in range(12):
        text = walk(source, seed)
        if text is None or HUGE.search(text):
            continue
        whole += 1
        content, calls = read(family, text)
        assert content.strip() == "", text
        assert len(calls) == 1 or (many and calls), text
        for call in calls:
            assert call.name in ("get_weather", "now")
            if call.name == "get_weather":
                jsonschema.validate(call.arguments, WEATHER)
    assert whole > 5


@pytest.mark.parametrize("family", FAMILIES_HERE)
def test_the_rest_begins_where_an_opening_ends(family: str) -> None:
    """An opening and a text that the rest admits is a call, and nothing is bound beyond it."""
    rest = grammar(family, "rest")
    for seed in range(6):
        text = walk(rest, seed)
        if text is not None and not HUGE.search(text):
            opening = SYNTAXES[family].openings[0]
            content, calls = read(family, opening + text)
            assert calls, opening + text
            assert content.strip() == "", opening + text
            assert accepted(rest, text) == text


@pytest.mark.parametrize("family", RENDERED)
@pytest.mark.parametrize(
    "arguments",
    [{"city": "Paris"}, {"city": 'a "b"\n(é)\\', "days": 3}, {"city": "x", "unit": "c", "where": {"lat": 1.5}}],
)
def test_what_the_renderer_writes_is_admitted(family: str, arguments: dict[str, Any]) -> None:
    calls = [ToolCall("get_weather", arguments, "call_1"), ToolCall("now", {}, "call_2", 1)]
    for used in (calls[:1], calls):
        results = [Message("tool", "RESULT", tool_name=call.name, tool_call_id=call.id) for call in used]
        messages = [Message("user", "QUESTION"), Message("assistant", tool_calls=used), *results]
        text = RENDERERS[RENDERED[family]](messages, TOOLS, False).partition("QUESTION")[2]
        text = text[text.index(SYNTAXES[family].openings[0]) :]
        text = text.removesuffix(refused(grammar(family), text))
        ends = (text[:end] for end in range(len(text), 0, -1))
        text = next(end for end in ends if admits(grammar(family), end))
        assert [call.arguments for call in read(family, text)[1]] == [call.arguments for call in used]


@pytest.mark.parametrize("family", FAMILIES_HERE)
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"days": 3}, "city is missing"),
        ({"city": 5}, "the wrong type"),
        ({"city": "x", "unit": "k"}, "not in the enum"),
        ({"city": "x", "days": 15}, "too many"),
    ],
)
def test_arguments_that_do_not_conform_are_not_admitted(family: str, arguments: dict[str, Any], why: str) -> None:
    good = walk(grammar(family, many=False), 3) or ""
    assert good
    name, text = "get_weather", json.dumps(arguments)
    written = {
        "deepseek3": f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{text}",
        "cogito": f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{text}",
        "ministral": f"[TOOL_CALLS]{name}[ARGS]{text}",
        "harmony": f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{text}",
        "cohere": f'<|START_ACTION|>[{{"tool_call_id": "0", "tool_name": "{name}", "parameters": {text}',
    }.get(family, f'<tool_call>\n{{"name": "{name}", "arguments": {text}')
    assert refused(grammar(family), written), why
    assert not refused(grammar(family), written.replace(text, '{"city": "x", "days": 14'))


@pytest.mark.parametrize("family", FAMILIES_HERE)
def test_a_tool_that_was_not_declared_cannot_be_called(family: str) -> None:
    for seed in range(4):
        text = walk(grammar(family), seed)
        if text is not None and "get_weather" in text:
            assert not admits(grammar(family), text.replace("get_weather", "get_wealth"))
