"""What gpt-oss writes."""

from typing import Any

import pytest

from server.messages import Message, Tool, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import FamilyParser
from server.parse.parsed import Parsed
from server.toolnames import identifiers, renamed
from tests.unit.server.parse.families.pieces import every_way, whole

TOOLS = [Tool(name="get_weather"), Tool(name="my tool.v2")]


def parser(last: Message | None = None) -> FamilyParser:
    return FAMILIES["harmony"].make(TOOLS, last, True)


def called(name: str = "get_weather", **arguments: Any) -> tuple[ToolCall, ...]:
    return (ToolCall(name, arguments),)


CALL = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city":"Paris"}'


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("<|channel|>analysis<|message|>plan<|end|><|start|>assistant" + CALL,
         Parsed("", "plan", called(city="Paris"))),
        ("<|channel|>commentary<|message|>pre<|end|><|start|>assistant<|channel|>final<|message|>x", Parsed("prex")),
        ("<|channel|>analysis<|message|>a < b <|en", Parsed("", "a < b <|en")),
        ("<|start|>assistant<|message|>Hello", Parsed("Hello")),
        ("<|channel|>final<|constrain|>json<|message|>{}", Parsed("{}")),
        (" to=functions.get_weather<|channel|>commentary<|message|>{}<|call|>", Parsed(calls=called())),
        ("<|channel|>analysis to=python<|message|>{}<|call|>", Parsed(calls=called("python"))),
        (CALL + "<|call|><|start|>assistant" + CALL,
         Parsed(calls=(*called(city="Paris"), ToolCall("get_weather", {"city": "Paris"}, index=1)))),
        ("<|channel|>commentary to=functions.my_tool_v2<|message|>{}", Parsed(calls=called("my tool.v2"))),
        ("<|channel|>commentary to=functions.f<|message|>no json", Parsed("no json")),
        ("plain words, no header", Parsed("plain words, no header")),
        ("a<|start|>assistant<|channel|>final<|message|>b", Parsed("ab")),
        ("<|channel|>ana", Parsed("<|channel|>ana")),
        ("<|channel|>final<|message|>x<|end|><|start|>assistant<|channel|>fin", Parsed("x")),
        ("<|channel|>final<|message|>x<|end|>\n<|start|>assistant<|cha", Parsed("x")),
        ("<|channel|>final<|message|>x<|end|><|start|>assistant said so", Parsed("xassistant said so")),
        ("<|channel|>final<|message|>x<|end|> \n y z <|start|>assistant", Parsed("xy z")),
        ("<|channel|>commentary to=functions.get_weather<|message|><|call|>", Parsed(calls=called())),
        ("<|channel|>final <|constrain|>json<|message|>{}", Parsed("{}")),
        ("<|channel|>" + "a" * 600 + "<|message|>b", Parsed("<|channel|>" + "a" * 600 + "<|message|>b")),
        ("to be or not", Parsed("to be or not")),
        ("", Parsed()),
    ],
)  # fmt: skip
def test_channels(text: str, parsed: Parsed) -> None:
    for found in every_way(parser, text):
        assert found == parsed


def test_a_message_that_the_request_began_goes_on() -> None:
    assert whole(parser(Message("assistant", "abc")), " more") == Parsed(" more")
    assert whole(parser(Message("assistant", "", "hm")), " so<|end|>") == Parsed("", " so")
    assert whole(parser(Message("assistant")), "<|channel|>final<|message|>x") == Parsed("x")


def test_a_format_binds_what_comes_behind_the_header_of_the_answer() -> None:
    """However that is written; and all of an answer that begins without a header, as it may where no thinking is
    wanted, or that the request began."""
    whole_turn, from_thoughts = parser().thoughts, parser(Message("assistant", "", "hm")).thoughts
    assert whole_turn is not None
    assert whole_turn.opening == "<|channel|>"
    assert {whole_turn.closing, *whole_turn.variants} == {
        "<|channel|>final<|message|>",
        "<|channel|>final<|constrain|>json<|message|>",
        "<|channel|>final <|constrain|>json<|message|>",
    }
    assert from_thoughts == whole_turn._replace(opening="")
    assert parser(Message("assistant", "abc")).thoughts is None


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("get_weather", "get_weather"), ("my tool.v-2", "my_tool_v_2"), ("2nd", "_2nd"), ("wetter?$", "wetter$"),
        ("größe", "größe"), ("!!", "unnamed"), ("", "unnamed"), ("browser.open", "browser.open"), ("python", "python"),
    ],
)  # fmt: skip
def test_identifiers(name: str, identifier: str) -> None:
    assert identifiers([Tool(name=name)]) == {name: identifier}


def test_identifiers_are_unique() -> None:
    tools = [Tool(name=name) for name in ("a b", "a-b", "a.b", "a b")]
    assert identifiers(tools) == {"a b": "a_b", "a-b": "a_b_2", "a.b": "a_b_3"}


def test_history_has_the_names_that_the_model_knows() -> None:
    messages = [
        Message("assistant", tool_calls=[ToolCall("my tool.v2", {}), ToolCall("gone", {})]),
        Message("tool", "1", tool_name="my tool.v2"),
    ]
    (said, result), tools = renamed(messages, TOOLS)
    assert [call.name for call in said.tool_calls] == ["my_tool_v2", "gone"]
    assert result.tool_name == "my_tool_v2"
    assert [tool.name for tool in tools] == ["get_weather", "my_tool_v2"]
