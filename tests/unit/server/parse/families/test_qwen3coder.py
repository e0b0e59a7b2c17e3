"""What Qwen3-Coder writes."""

from typing import Any

import pytest

from server.messages import Parameters, Property, Tool, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import coerced, types_of, unframed
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


def test_a_block_may_have_several_calls() -> None:
    block = (
        "<tool_call><function=f></function>\n<function=get_weather><parameter=days>3</parameter></function></tool_call>"
    )
    for found in every_way(parser, block):
        assert found == Parsed(calls=(ToolCall("f"), ToolCall("get_weather", {"days": 3}, index=1)))


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call><function=f></function><function=f><parameter=p>x</function></tool_call>",
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
        ("1e300", ["number"], 1e300), ("9223372036854775808", ["number"], 2.0**63),
        ("9" * 30, ["integer"], "9" * 30), ("1e999", ["number"], "1e999"), ("[" * 100_000, ["array"], "[" * 100_000),
    ],
)  # fmt: skip
def test_values_by_their_types(raw: str, types: list[str], value: Any) -> None:
    found = coerced(raw, types)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "types"),
    [
        (Property(type=["integer", "null"]), ["integer", "null"]),
        (Property(type=["integer, string"]), ["integer", "string"]),
        (Property(type=["number|null", "array"]), ["number", "null", "array"]), (Property(), []),
        (Property(any_of=[Property(type=["integer"]), Property(type=["string,null"])]), ["integer", "string", "null"]),
        (Property(type=["string"], any_of=[Property(type=["integer"])]), ["integer"]),
    ],
)  # fmt: skip
def test_types_in_every_form_that_clients_send(given: Property, types: list[str]) -> None:
    assert types_of([Tool(name="f", parameters=Parameters(properties={"p": given}))], "f", "p") == types


@pytest.mark.parametrize("tool", [Tool(name="f"), Tool(name="g", parameters=Parameters(properties={"p": Property()}))])
def test_what_is_not_declared_has_no_type(tool: Tool) -> None:
    assert types_of([tool], "f", "p") == []


def test_one_line_break_at_either_end_is_dropped() -> None:
    assert unframed("\nx\n\n") == "x\n"
