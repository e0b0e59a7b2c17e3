"""What Olmo 3 writes."""

import pytest

from server.messages import Message, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import FamilyParser
from server.parse.parsed import Parsed, Thoughts
from tests.unit.server.parse.families.pieces import every_way
from tests.unit.server.prompt.renderers.conversations import WEATHER

PARIS = ToolCall("get_weather", {"city": "Paris", "days": 2})
WRITTEN = 'get_weather(city="Paris", days=2)'


def parser() -> FamilyParser:
    return FAMILIES["olmo3"].make([WEATHER], None, None)


def thinker() -> FamilyParser:
    return FAMILIES["olmo3-think"].make([], Message("assistant", "so"), False)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", Parsed()),
        (" a < b, <function_call ", Parsed(" a < b, <function_call ")),
        ("ends with <function_cal", Parsed("ends with <function_cal")),
        (f"Hi <function_calls>{WRITTEN}</function_calls> x", Parsed("Hi  x", "", (PARIS,))),
        (f"<function_calls>\n {WRITTEN} \n\ng()\n</function_calls>\n<function_calls>g()</function_calls>",
         Parsed("\n", "", (PARIS, ToolCall("g", index=1), ToolCall("g", index=2)))),
        ("<function_calls></function_calls>", Parsed()),
        (f"a <function_calls>{WRITTEN}", Parsed(f"a <function_calls>{WRITTEN}")),
        (f"<function_calls>{WRITTEN}\nno call</function_calls> b",
         Parsed(f"<function_calls>{WRITTEN}\nno call</function_calls> b")),
        ("<function_calls>f(1)</function_calls>", Parsed("<function_calls>f(1)</function_calls>")),
        ('<function_calls>f(a="<function_calls>")</function_calls>',
         Parsed(calls=(ToolCall("f", {"a": "<function_calls>"}),))),
    ],
)  # fmt: skip
def test_text_and_calls(text: str, parsed: Parsed) -> None:
    for found in every_way(parser, text):
        assert found == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("th ink\n</think>\n\nHi", Parsed("Hi", "th ink")),
        ("<think> th</think> Hi </think> <function_calls> \n", Parsed("Hi </think> <function_calls> \n", "th")),
        ("th </thi", Parsed("", "th </thi")),
        ("</think>", Parsed()),
        ("", Parsed()),
    ],
)
def test_thinking_models_always_begin_in_their_reasoning(text: str, parsed: Parsed) -> None:
    for found in every_way(thinker, text):
        assert found == parsed


def test_marks_tell_where_a_format_may_begin() -> None:
    assert parser().thoughts is None
    assert thinker().thoughts == Thoughts("", "</think>")
