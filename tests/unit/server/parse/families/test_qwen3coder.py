"""What Qwen3-Coder writes."""

from typing import Any

import pytest

from server.messages import Parameters, Property, Tool, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import coerced, unframed
from server.parse.parsed import Parsed, Parser
from tests.unit.server.parse.families.pieces import every_way
from tests.unit.server.prompt.renderers.conversations import WEATHER

P = Tool(name="f", parameters=Parameters(properties={"p": Property(type=["string"])}))


def parser() -> Parser:
    return FAMILIES["qwen3-coder"].make([WEATHER, P], None, None)


def weather(**arguments: Any) -> tuple[ToolCall, ...]:
    return (ToolCall("get_weather", arguments),)


CALLED = "<tool_call>\n<function=get_weather>\n<parameter=city>\n{}\n</parameter>\n</function>\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Hello there", Parsed("Hello there")),
        ("a < b, a <tool, <tool_cal", Parsed("a < b, a <tool, <tool_cal")),
        ("Let me check. \n\n" + CALLED.format("Paris & <b>Lyon</b>"),
         Parsed("Let me check.", "", weather(city="Paris & <b>Lyon</b>"))),
        (CALLED.format("Paris") + "\n and so", Parsed("and so", "", weather(city="Paris"))),
        ("<tool_call>junk <function=f><parameter=p>x</parameter></function> junk</tool_call>",
         Parsed(calls=(ToolCall("f", {"p": "x"}),))),
        ("<tool_call><function=f></function></tool_call>", Parsed(calls=(ToolCall("f"),))),
        ("<tool_call><function=f><parameter=p>1</parameter><parameter=p>2</parameter></function></tool_call>",
         Parsed(calls=(ToolCall("f", {"p": "2"}),))),
        ("<tool_call><function=f><parameter=p>a<b=c>d</parameter></function></tool_call>",
         Parsed(calls=(ToolCall("f", {"p": "a<b=c>d"}),))),
    ],
)  # fmt: skip
def test_text_and_calls(text: str, parsed: Parsed) -> None:
    for found in every_way(parser, text):
        assert found == parsed


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>nothing</tool_call>",
        "<tool_call><function=f><parameter=p>x</function></tool_call>",
        "<tool_call>\n<function=f><parameter=p>never ended",
        "so <tool_call>",
    ],
)
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    for found in every_way(parser, text):
        assert (found.content.replace("so<", "so <"), found.calls) == (text, ())


def test_calls_are_counted() -> None:
    (found, *_) = every_way(parser, CALLED.format("Paris") * 3)
    assert [call.index for call in found.calls] == [0, 1, 2]


@pytest.mark.parametrize(
    ("raw", "types", "value"),
    [
        ("12", ["integer"], 12), ("+5", ["integer"], 5), ("3.0", ["integer"], "3.0"), ("1e3", ["number"], 1000),
        ("3.0", ["number"], 3), ("3.5", ["number"], 3.5), ("abc", ["number"], "abc"), ("TRUE", ["boolean"], True),
        ("yes", ["boolean"], False), ("yes", ["boolean", "string"], "yes"), ("[1, 2]", ["array"], [1, 2]),
        ("1,2", ["array"], "1,2"), ("{'a':1}", ["object"], "{'a':1}"), ("12", ["string", "number"], 12),
        ("12", ["string"], "12"), ("NULL", ["string"], None), ("5", [], "5"), ('{"a":1}', ["object"], {"a": 1}),
        ("9" * 30, ["integer"], "9" * 30), ("1e999", ["number"], "1e999"), ("[" * 100_000, ["array"], "[" * 100_000),
    ],
)  # fmt: skip
def test_values_by_their_types(raw: str, types: list[str], value: Any) -> None:
    found = coerced(raw, types)
    assert (found, type(found)) == (value, type(value))


def test_one_line_break_at_either_end_is_dropped() -> None:
    assert unframed("\nx\n\n") == "x\n"
