"""What LFM2 writes."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages import Message, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.pythonic import read_list
from server.parse.parsed import Parsed, Thoughts
from tests.unit.server.parse.families.pieces import every_way, whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

plain = partial(FAMILIES["lfm2"].make, [WEATHER], None, True)
thinking = partial(FAMILIES["lfm2-thinking"].make, [WEATHER], None, True)
silent = partial(FAMILIES["lfm2-thinking"].make, [WEATHER], None, False)
toolless = partial(FAMILIES["lfm2"].make, [], None, None)
PARIS = '<|tool_call_start|>[get_weather(city="Paris")]<|tool_call_end|>'


def calls(*arguments: dict[str, Any]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall("get_weather", given, index=index) for index, given in enumerate(arguments))


@pytest.mark.parametrize("make", [plain, thinking, silent, toolless])
@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (PARIS.replace(")]", ",days=2), get_weather(city='R', tags=[\"a\"], b=True, u=None)]") + " ok",
         Parsed("ok", "", calls({"city": "Paris", "days": 2}, {"city": "R", "tags": ["a"], "b": True, "u": None}))),
        ("direct", Parsed("direct")),
        (f"Hi \n{PARIS}\n{PARIS}so", Parsed("Hiso", "", calls({"city": "Paris"}, {"city": "Paris"}))),
        (PARIS.replace("Paris", 'a\\n\\"b\\"'), Parsed(calls=calls({"city": 'a\n"b"'}))),
        ("a < b <|tool_call", Parsed("a < b <|tool_call")),
        ("[get_w] is a tool, get_weather(", Parsed("[get_w] is a tool, get_weather(")),
        ("", Parsed()),
    ],
)  # fmt: skip
def test_text_and_calls(make: Any, text: str, parsed: Parsed) -> None:
    for found in every_way(make, text):
        assert found == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("<think>\nhm\n</think>\n\nok", Parsed("ok", "hm")),
        (f" \n<think>hm</think>{PARIS}", Parsed("", "hm", calls({"city": "Paris"}))),
        ("<think>never", Parsed("", "never")),
        ("<thi", Parsed("<thi")),
        (" \n so", Parsed("so")),
        ("<think>hm</think> [get_weather(days=1)]", Parsed("", "hm", calls({"days": 1}))),
    ],
)
def test_reasoning(text: str, parsed: Parsed) -> None:
    for found in every_way(thinking, text):
        assert found == parsed


def test_reasoning_only_where_it_is_wanted() -> None:
    text = "<think>hm</think>ok"
    going_on = partial(FAMILIES["lfm2-thinking"].make, [WEATHER], Message("assistant", "so"), True)
    for make in (plain, silent, going_on):
        assert make().thoughts is None
        assert all(found == Parsed(text) for found in every_way(make, text))
    assert thinking().thoughts == Thoughts("<think>", "</think>")


@pytest.mark.parametrize(
    "text", ["[get_weather(days=1), get_weather(days=2)]", " get_weather(days=1),get_weather(days=2)\n"]
)
def test_an_answer_of_calls_alone_needs_no_marks(text: str) -> None:
    for found in every_way(plain, text):
        assert found == Parsed(calls=calls({"days": 1}, {"days": 2}))
    assert whole(toolless(), text) == Parsed(text.rstrip())


@pytest.mark.parametrize(
    "text",
    [
        "get_weather(days=1) gives the weather", "[get_weather(days=1), other()]", "[get_weather(1)]", "[get_weather(",
        "[", "get_weather", "Hi [get_weather(days=1)]", "<|tool_call_start|>[]<|tool_call_end|>",
        "<|tool_call_start|>what<|tool_call_end|>", "<|tool_call_start|>[f(1)]<|tool_call_end|>",
        "<|tool_call_start|>[f(a=1", "<|tool_call_start|>[f(a=1)]<|tool_call_e",
    ],
)  # fmt: skip
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    for found in every_way(plain, text):
        assert found == Parsed(text)


def test_what_begins_like_a_call_waits_only_while_it_may_be_one() -> None:
    parser = plain()
    assert not parser.feed("[get")
    assert parser.feed("ting").content == "[getting"
    assert parser.feed(" on").content == " on"


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("f()", {}), ('f(a={"k": [1, 2.5], "l": {}}, b=x y)', {"a": {"k": [1, 2.5], "l": {}}, "b": "x y"}),
        ("f(a='x, y)', b=-1, c=false, d=null)", {"a": "x, y)", "b": -1, "c": False, "d": None}),
        ("[f(a={'k': 'v'})]", {"a": {"k": "v"}}),
    ],
)  # fmt: skip
def test_arguments(text: str, arguments: dict[str, Any]) -> None:
    assert read_list(text) == [ToolCall("f", arguments)]


PIECES = ["<think>", "</think>", "<|tool_call_start|>", "<|tool_call_end|>", "[", "]", "get_weather", "(", ")",
          "days=1", ",", '"', " ", "\n", "<", "x"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.sampled_from([plain, thinking]))
def test_pieces_never_change_the_sum(pieces: list[str], make: Any) -> None:
    text = "".join(pieces)
    first = whole(make(), text)
    assert all(found == first for found in every_way(make, text))
