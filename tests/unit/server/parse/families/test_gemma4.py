"""What Gemma 4 writes."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages import Message, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.gemmacalls import Dialect, read_call
from server.parse.parsed import Parsed, Thoughts
from server.prompt.renderers.gemma4 import TERMS
from tests.unit.server.parse.families.pieces import every_way, whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

thinking = partial(FAMILIES["gemma4"].make, [WEATHER], None, True)
silent = partial(FAMILIES["gemma4"].make, [WEATHER], None, False)
plain = partial(FAMILIES["gemma4-no-thinking"].make, [WEATHER], None, True)
behind_results = partial(FAMILIES["gemma4"].make, [WEATHER], Message("tool", "22C"), True)
DIALECT = Dialect('<|"|>', words=False)
PARIS = '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}<tool_call|>'


def weather(**arguments: Any) -> tuple[ToolCall, ...]:
    return (ToolCall("get_weather", arguments),)


def arguments(text: str, *, whole: bool = True) -> dict[str, Any] | None:
    """What is read between the outermost brackets."""
    call = read_call(f"call:get_weather{{{text}", DIALECT, [WEATHER], whole=whole)
    return None if call is None else call.arguments


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (('<|channel>thought\nplan it\n<channel|>Hi <|tool_call>call:get_weather{city:<|"|>Paris "x"<|"|>,days:2,'
          'opts:{k:<|"|>v<|"|>},tags:[<|"|>a<|"|>]}<tool_call|><|tool_response>'),
         Parsed("Hi", "plan it", weather(city='Paris "x"', days=2, opts={"k": "v"}, tags=["a"]))),
        ("Hello <b> \n", Parsed("Hello <b> \n")),
        ("Hi <|channel>plan\n <channel|>\n\n there", Parsed("Hi there".replace(" ", ""), "plan")),
        ("<|channel>thought\n<channel|>Hi", Parsed("Hi")),
        ("<|channel>thoughts<channel|>Hi", Parsed("Hi", "thoughts")),
        ("<|channel>thought\nnever ended\n", Parsed("", "never ended")),
        ("<|channel>thou", Parsed("", "thou")),
        ("a <|chan", Parsed("a <|chan")),
        (f"{PARIS} <tool_call|>\n<|tool_response> ok", Parsed("ok", "", weather(city="Paris"))),
        (f"{PARIS}<|tool_resp", Parsed("<|tool_resp", "", weather(city="Paris"))),
        ("", Parsed()),
        (" \n", Parsed(" \n")),
    ],
)  # fmt: skip
def test_text_thoughts_and_calls(text: str, parsed: Parsed) -> None:
    for found in every_way(thinking, text):
        assert found == parsed


@pytest.mark.parametrize("make", [silent, plain])
def test_unwanted_thoughts_are_dropped(make: Any) -> None:
    for found in every_way(make, f"a <|channel>thought\nhm<channel|> b {PARIS}"):
        assert found == Parsed("ab", "", weather(city="Paris"))


def test_behind_results_the_prompt_has_opened_the_thoughts() -> None:
    for found in every_way(behind_results, " warm <channel|>\n22°C"):
        assert found == Parsed("22°C", "warm")


def test_marks_tell_where_a_format_may_begin() -> None:
    assert thinking().thoughts == Thoughts("<|channel>", "<channel|>")
    assert behind_results().thoughts == Thoughts("", "<channel|>")
    assert silent().thoughts is None
    assert plain().thoughts is None


@pytest.mark.parametrize(
    "text",
    [
        "<|tool_call>nothing<tool_call|>",
        "<|tool_call><tool_call|>",
        "<|tool_call>call:{}<tool_call|>",
        "<|tool_call>call:f{a:what}<tool_call|>",
        '<|tool_call>call:f{a:[1}2]}<tool_call|>',
        '<|tool_call>call:get_weather{city:<|"|>a<|"|>b<|"|>}<tool_call|>',
        '<|tool_call>call:f{a:<|"|>cut off',
        "<|tool_call>call:f{a:1",
        "<|tool_call>call:f{a:1}<tool_cal }",
        "<|tool_call>",
        f"<|tool_call>call:a{{x:<|tool_call>{'[' * 1000}<tool_call|>",
    ],
)  # fmt: skip
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    for found in every_way(thinking, text) if len(text) < 200 else [whole(thinking(), text)]:
        assert found == Parsed(text)


def test_a_call_needs_no_closing_mark_at_the_end() -> None:
    for found in every_way(thinking, PARIS.removesuffix("call|>")):
        assert found == Parsed(calls=weather(city="Paris"))


def test_calls_come_at_once_and_are_counted() -> None:
    parser = thinking()
    assert [call.index for call in parser.feed(PARIS).calls + parser.feed(PARIS + PARIS).calls] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("city:New York,days:2}", {"city": "New York", "days": 2}),
        ("city:New York, NY , days :2}", {"city": "New York, NY", "days": 2}),
        ("city:{half,days:2}", {"city": "{half", "days": 2}),
        ("city:2024-01-02}", {"city": "2024-01-02"}),
        ("city:'Paris',x:['a','it's']}", {"city": "Paris", "x": ["a", "it's"]}),
        ('city:<|"|>Paris}', {"city": "Paris"}),
        ('days:1,x:{y:[<|"|>Paris]}}', {"days": 1, "x": {"y": ["Paris"]}}),
        ('city:<|"|>Paris', {"city": "Paris"}),
        ("x:{y:1", {"x": {"y": 1}}),
        ("x:[1,2}", {"x": [1, 2]}),
        ("days:2", {"days": 2}),
        ("", {}),
        ("}", {}),
        ('"city":"a\\n\\"b",<|"|>x<|"|>:<|"|>}<|"|>}', {"city": 'a\n"b', "x": "}"}),
        (' a b : null , c:true,\nd:[ ],e:{ },f:-1.50,g:2.0,h:1e3}',
         {"a b": None, "c": True, "d": [], "e": {}, "f": -1.5, "g": 2, "h": 1000}),
        ('z:1,a:[{b:[1,<|"|>,<|"|>]}],z:3}', {"z": 3, "a": [{"b": [1, ","]}]}),
        ('city:<|"|>a\nb:{c},<|"|>,days:12345678901234567890}', {"city": "a\nb:{c},", "days": 12345678901234567890.0}),
        ("days:1e999}", None),
        ("days:01}", None),
        ("days:two}", None),
        ("days}", None),
        ("days:1 2}", None),
        ("x:" + "[" * 100_000, None),
    ],
)  # fmt: skip
def test_arguments(text: str, found: dict[str, Any] | None) -> None:
    assert arguments(text) == found


@pytest.mark.parametrize("text", ['city:<|"|>Paris}', "days:2", "x:{y:1}", 'x:[<|"|>a<|"|>'])
def test_nothing_is_supplied_where_the_text_was_cut_off(text: str) -> None:
    assert arguments(text, whole=False) is None


FRACTIONS = st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda value: not value.is_integer())
TEXTS = st.text(st.characters(exclude_characters="<"))
SIMPLE = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS | FRACTIONS
KEYS = st.text("abcö_-9 ", min_size=1, max_size=5).map(str.strip).filter(bool)
VALUES = st.recursive(
    SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_the_prompt_writes_is_read_again(values: dict[str, Any]) -> None:
    call = read_call(f"call:f{TERMS.members(values)}", DIALECT, [])
    assert call == ToolCall("f", values)


PIECES = ["<|channel>", "thought\n", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", '<|"|>',
          "call:f{", "}", "{", "[", "a:", ",", "1", "x", " ", "\n", "<", "|>"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_pieces_never_change_the_sum(pieces: list[str]) -> None:
    text = "".join(pieces)
    first = whole(thinking(), text)
    assert all(found == first for found in every_way(thinking, text))
    assert whole(thinking(), *pieces) == first
