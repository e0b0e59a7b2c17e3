"""What FunctionGemma writes."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages import ToolCall
from server.parse.families import FAMILIES
from server.parse.parsed import Parsed
from tests.unit.server.parse.families.pieces import every_way, whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

parser = partial(FAMILIES["functiongemma"].make, [WEATHER], None, True)
CALLED = "<start_function_call>call:get_weather{{{}}}<end_function_call>"


def weather(**arguments: Any) -> tuple[ToolCall, ...]:
    return (ToolCall("get_weather", arguments),)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ok " + CALLED.format("city:<escape>Paris, FR<escape>,days:2,tags:[<escape>a<escape>,2]"),
         Parsed("ok ", "", weather(city="Paris, FR", days=2, tags=["a", 2]))),
        ("Hello <b> \n", Parsed("Hello <b> \n")),
        ("a <start_fun", Parsed("a <start_fun")),
        (CALLED.format("city:<escape>a\n}b<escape>") + " and\n", Parsed(" and\n", "", weather(city="a\n}b"))),
        ("", Parsed()),
    ],
)  # fmt: skip
def test_text_and_calls(text: str, parsed: Parsed) -> None:
    for found in every_way(parser, text):
        assert found == parsed


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("a:true,b:false,c:1,d:-1.5,e:null", {"a": True, "b": False, "c": 1, "d": -1.5, "e": "null"}),
        ("city:New York,days:2", {"city": "New York", "days": 2}),
        ('a:"quoted",b:it\'s', {"a": '"quoted"', "b": "it's"}),
        ("a:{b:{c:x y},d:[z,1]},e:http://x", {"a": {"b": {"c": "x y"}, "d": ["z", 1]}, "e": "http://x"}),
        ("a:x[1,2],b:y<escape>,<escape>z", {"a": "x[1,2]", "b": "y<escape>,<escape>z"}),
        ("a:<escape>x", {"a": "x"}),
    ],
)
def test_arguments(text: str, arguments: dict[str, Any]) -> None:
    for found in every_way(parser, CALLED.format(text)):
        assert found == Parsed(calls=weather(**arguments))


def test_text_between_calls_is_kept() -> None:
    for found in every_way(parser, CALLED.format("days:1") + "a" + CALLED.format("days:2") + "b"):
        assert found.content == "ab"
        assert [(call.index, call.arguments) for call in found.calls] == [(0, {"days": 1}), (1, {"days": 2})]


@pytest.mark.parametrize(
    "text",
    [
        "<start_function_call>nothing<end_function_call>",
        "<start_function_call>call:{a:1}<end_function_call>",
        "<start_function_call>call:f{a}<end_function_call>",
        "<start_function_call>call:f{a:}<end_function_call>",
        "<start_function_call>call:f{a:1}<end_func",
        "x<start_function_call>",
    ],
)
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    for found in every_way(parser, text):
        assert found == Parsed(text)


PIECES = [
    "<start_function_call>",
    "<end_function_call>",
    "<escape>",
    "call:f{",
    "}",
    "{",
    "[",
    "]",
    "a:",
    ",",
    "1",
    " ",
    "<",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_pieces_never_change_the_sum(pieces: list[str]) -> None:
    text = "".join(pieces)
    first = whole(parser(), text)
    assert all(found == first for found in every_way(parser, text))
