"""What GLM-4.7 and GLM-OCR write."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages import Parameters, Tool, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.pairs import read_call
from server.parse.parsed import Parsed, Thoughts
from tests.unit.server.parse.families.pieces import every_way, whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

thinking = partial(FAMILIES["glm-4.7"].make, [WEATHER], None, None)
silent = partial(FAMILIES["glm-4.7"].make, [WEATHER], None, False)
ocr = partial(FAMILIES["glm-ocr"].make, [WEATHER], None, None)
TO_PARIS = ToolCall("get_weather", {"city": "Paris"})
PARIS = "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value></tool_call>"


def weather(**arguments: Any) -> tuple[ToolCall, ...]:
    return (ToolCall("get_weather", arguments),)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("plan</think>Hi<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris & <b></arg_value></tool_call> ok",
         Parsed("Hiok", "plan", weather(city="Paris & <b>"))),
        ("\n<think> plan \n</think>\n\nHi \n", Parsed("Hi", "plan")),
        (f"so {PARIS}</think>", Parsed("", f"so {PARIS}")),
        ("plan</thi", Parsed("", "plan</thi")),
        (f"</think>{PARIS}\n{PARIS}", Parsed(calls=(TO_PARIS, replace(TO_PARIS, index=1)))),
        ("", Parsed()),
    ],
)  # fmt: skip
def test_an_answer_that_begins_with_reasoning(text: str, parsed: Parsed) -> None:
    for found in every_way(thinking, text):
        assert found == parsed


@pytest.mark.parametrize("make", [silent, ocr])
@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("<think>x</think>hello  y " + PARIS.replace("<arg_", "\n<arg_").replace("Paris", "P"),
         Parsed("hello  y", "x", weather(city="P"))),
        ("Hi </think>", Parsed("Hi </think>")),
        ("<thin", Parsed("<thin")),
    ],
)  # fmt: skip
def test_an_answer_that_may_begin_with_reasoning(make: Any, text: str, parsed: Parsed) -> None:
    for found in every_way(make, text):
        assert found == parsed


def test_marks_tell_where_a_format_may_begin() -> None:
    assert thinking().thoughts == Thoughts("", "</think>")
    assert ocr().thoughts == Thoughts("<think>", "</think>")


K, V = "<arg_key>{}</arg_key>", "<arg_value>{}</arg_value>"


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("get_weather", {}),
        (" get_weather\n" + K.format(" city ") + "\n" + V.format("\nParis\n") + "\n", {"city": "Paris"}),
        ("get_weather" + K.format("days") + V.format("3") + K.format("x") + V.format("3"), {"days": 3, "x": "3"}),
        ("get_weather\ncity</arg_key>" + V.format("Paris"), {"city": "Paris"}),
        ("get_weather city" + V.format("Paris"), {"city": "Paris"}),
        ("get_weather<arg_key>city" + V.format("Paris"), {"city": "Paris"}),
        ("get_weather" + K.format("city") + "Paris</arg_value>", {"city": "Paris"}),
        ("get_weather" + K.format("city") + "<arg_value>Paris", {"city": "Paris"}),
        ("get_weather" + K.format("city") + "Paris", {"city": "Paris"}),
        ("get_weather" + K.format("city") + "<arg_value>Paris" + K.format("days") + V.format("2"),
         {"city": "Paris", "days": 2}),
        ("get_weather" + K.format("city") + V.format("Paris") + "days" + V.format("2"), {"city": "Paris", "days": 2}),
        ("get_weather" + K.format("city") + V.format(""), {"city": ""}),
    ],
)  # fmt: skip
def test_pairs_and_what_was_forgotten(body: str, arguments: dict[str, Any]) -> None:
    assert read_call(body, [WEATHER]) == [ToolCall("get_weather", arguments)]


@pytest.mark.parametrize(
    "body",
    [
        "", " ", '{"name": "f"}', "just some text", "f<arg_key>", "f" + K.format("a"), "f" + V.format("a"),
        "f" + K.format("") + V.format("a"), "f" + K.format("a") + "x" + V.format("b"),
        "f" + K.format("a") + K.format("b"),
        "f" + K.format("a") + V.format("b") + "x", K.format("a") + V.format("b"),
        "f</arg_value>", "f x</arg_value>",
    ],
)  # fmt: skip
def test_what_is_no_call_stays_in_the_text(body: str) -> None:
    text = f"Hi <tool_call>{body}</tool_call>"
    for found in every_way(silent, text):
        assert found == Parsed(text.replace("Hi ", "Hi"))


def test_a_tool_may_have_any_declared_name() -> None:
    assert read_call("two words", [Tool(name="two words")]) == [ToolCall("two words")]


@pytest.mark.parametrize("closing", ["", "\n", "</tool_ca"])
def test_a_whole_call_needs_no_closing_mark_at_the_end(closing: str) -> None:
    for found in every_way(silent, PARIS.removesuffix("</tool_call>") + closing):
        assert found == Parsed(calls=weather(city="Paris"))


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>get_weather", "<tool_call>get_weather" + K.format("days") + V.format("2"),
        "<tool_call>get_weather<arg_k",
        "<tool_call>f" + K.format("a") + V.format("b"), "<tool_call>get_weather" + K.format("city") + "<arg_value>Par",
        "<tool_call>get_weather" + K.format("city") + V.format("x") + "y", "<tool_call>", "<tool_c",
    ],
)  # fmt: skip
def test_an_unfinished_call_stays_in_the_text(text: str) -> None:
    for found in every_way(silent, text):
        assert found == Parsed(text)


def test_a_call_without_arguments_may_be_unfinished() -> None:
    parser = FAMILIES["glm-4.7"].make([Tool(name="f", parameters=Parameters())], None, False)
    assert whole(parser, "<tool_call>f").calls == (ToolCall("f"),)


PIECES = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>",
          "</arg_value>", "get_weather", "city", " ", "\n", "<", "x"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.sampled_from([thinking, silent]))
def test_pieces_never_change_the_sum(pieces: list[str], make: Any) -> None:
    text = "".join(pieces)
    first = whole(make(), text)
    assert all(found == first for found in every_way(make, text))
