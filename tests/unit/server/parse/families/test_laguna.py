"""What Laguna writes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import FamilyParser
from server.parse.parsed import Parsed, Thoughts
from tests.unit.server.parse.families.pieces import every_way, whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

READ = Tool(name="read", parameters=Parameters(properties={"lines": Property(type=["integer"])}))
CALL = (
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n"
    "<arg_value>2</arg_value>\n</tool_call>"
)
OBJECT = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}'


def thinking() -> FamilyParser:
    return FAMILIES["laguna"].make([WEATHER, READ], None, True)


def plain() -> FamilyParser:
    return FAMILIES["poolside-v1"].make([WEATHER, READ], None, None)


def without_tools() -> FamilyParser:
    return FAMILIES["laguna"].make([], None, False)


def weather(**arguments: Any) -> tuple[ToolCall, ...]:
    return (ToolCall("get_weather", arguments or {"city": "Paris", "days": 2}),)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"\nplan\n</think>\nHi {CALL}", Parsed("Hi", "plan", weather())),
        ("<think>\n plan </think> Hi", Parsed("Hi", "plan")),
        ("plan </think></think>Hi", Parsed("Hi", "plan")),
        ("</think>Hi", Parsed("Hi")),
        (f"plan\n{CALL} Hi", Parsed("Hi", "plan", weather())),
        ("a</think>b<think>c</think>d", Parsed("bd", "ac")),
        ("plan </thi", Parsed("", "plan </thi")),
        ("plan \n", Parsed("", "plan")),
        ("<thin", Parsed("", "<thin")),
        ("", Parsed()),
    ],
)
def test_an_answer_that_begins_inside_reasoning(text: str, parsed: Parsed) -> None:
    for found in every_way(thinking, text):
        assert found == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("x <think>secret</think> y", Parsed("x y")),
        ("\n</think>\nHi <there> \n", Parsed("Hi <there>")),
        ("Hi </think> there", Parsed("Hi </think> there")),
        (f"{CALL}\n{CALL}", Parsed(calls=(*weather(), ToolCall("get_weather", {"city": "Paris", "days": 2}, index=1)))),
        (CALL.removesuffix("</tool_call>"), Parsed(calls=weather())),
        (CALL.removesuffix("_call>"), Parsed(calls=weather())),
        (f"<tool_call>{OBJECT}</tool_call> ok", Parsed("ok", "", weather())),
        ('<tool_call>get_weather {"city": "<b>"}</tool_call>', Parsed(calls=weather(city="<b>"))),
        ('<tool_call>get_weather{"city": "R"}', Parsed(calls=weather(city="R"))),
        ("<tool_call>other</tool_call>", Parsed(calls=(ToolCall("other"),))),
        (f"So:\n{OBJECT}\n{OBJECT} end",
         Parsed("So:end", "", (*weather(), ToolCall("get_weather", {"city": "Paris", "days": 2}, index=1)))),
        ('{"arguments": {"city": "}"}, "name": "get_weather"}', Parsed(calls=weather(city="}"))),
        (CALL.replace("tool_call", "user"), Parsed(calls=weather())),
        ('<user>get_weather {"city": "R"}</user>', Parsed(calls=weather(city="R"))),
        ("<tool_call>read_file<arg_key>lines</arg_key><arg_value>7</arg_value></tool_call>",
         Parsed(calls=(ToolCall("read", {"lines": 7}),))),
        ('<user>read_file {"lines": 7}', Parsed(calls=(ToolCall("read", {"lines": 7}),))),
    ],
)  # fmt: skip
def test_text_and_calls(text: str, parsed: Parsed) -> None:
    for found in every_way(plain, text):
        assert found == parsed


@pytest.mark.parametrize(
    "text",
    [
        "so <tool_call>",
        "so <tool_call>no call</tool_call>!",
        "<tool_call>{bad json}</tool_call>",
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Par",
        "<tool_call><tool_call></tool_call>",
        "the <user> tag, <user>somebody</user> and <user>get",
        "<user>get_weather is a tool</user>!",
        f"inline {OBJECT}",
        f" {OBJECT}"[1:-1],
        '{"name": "unknown", "arguments": {}}',
        '{"name": "get_weather", "arguments": []}',
        '{"name": 7} {',
        '{\n  "a": {\n    "name": "get_weather", "arguments": {}}}',
        "if x:\n{\n  y }",
        "a < b <think",
    ],
)
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    for found in every_way(plain, text):
        assert found == Parsed(text)


def test_without_tools_only_marks_make_calls() -> None:
    for found in every_way(without_tools, f"{OBJECT}\n<user>x</user> {CALL}"):
        assert found.content == f"{OBJECT}\n<user>x</user>"
        assert found.calls == (ToolCall("get_weather", {"city": "Paris", "days": "2"}),)


def test_text_comes_at_once_and_a_call_when_it_is_complete() -> None:
    parser = plain()
    assert parser.feed("Hi there {") == Parsed("Hi there {")
    assert parser.feed(' x\n{"na') == Parsed(" x")
    assert parser.feed('tion": 1') == Parsed('\n{"nation": 1')
    assert parser.feed(CALL) == Parsed(calls=weather())


def test_an_alias_that_is_declared_is_no_alias() -> None:
    parser = FAMILIES["laguna"].make([READ, Tool(name="read_file")], None, False)
    assert whole(parser, "<tool_call>read_file</tool_call>").calls == (ToolCall("read_file"),)


@pytest.mark.parametrize(
    ("name", "last", "think", "thoughts"),
    [
        ("laguna", None, True, Thoughts("", "</think>")),
        ("laguna", Message("user", "hi"), "low", Thoughts("", "</think>")),
        ("laguna", Message("assistant"), True, None),
        ("poolside-v1", Message("assistant", "so"), True, Thoughts("", "</think>")),
        ("laguna", None, False, None),
        ("poolside-v1", None, None, None),
    ],
)
def test_marks_tell_where_a_format_may_begin(
    name: str, last: Message | None, think: bool | str | None, thoughts: Thoughts | None
) -> None:
    parser = FAMILIES[name].make([], last, think)
    assert parser.thoughts == thoughts
    assert whole(parser, "a") == (Parsed("", "a") if thoughts else Parsed("a"))


_TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<user>", "</user>"]
_PAIR = ["<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"]
_PIECES = [*_TAGS, *_PAIR, "{", "}", '{"name": "read", "arguments": {', "\n", " ", "read", "x", "<"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=14).map("".join), st.booleans())
def test_cuts_never_matter(text: str, thinks: bool) -> None:
    first, *others = every_way(thinking if thinks else plain, text)
    assert all(found == first for found in others)
