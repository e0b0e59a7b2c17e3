"""What Qwen3.5 and Ornith write."""

import pytest

from server.messages import Message, ToolCall
from server.parse.families import FAMILIES
from server.parse.parsed import Parsed, Parser, Thoughts
from tests.unit.server.parse.families.pieces import every_way, whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

CALLED = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
    "</function>\n</tool_call>"
)
CALL = ToolCall("get_weather", {"city": "Paris", "days": 2})


def thinking() -> Parser:
    return FAMILIES["qwen3.5"].make([WEATHER], None, None)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"Need it. {CALLED}", Parsed("", "Need it.", (CALL,))),
        (f"Need it.\n</think>\n\nSo: {CALLED}\n", Parsed("So:", "Need it.", (CALL,))),
        ("\n <think>\n hm </think> \n ok", Parsed("ok", "hm")),
        ("hm</think>a</think>b", Parsed("a</think>b", "hm")),
        ("hm <tool_call>bad</tool_call> on", Parsed("<tool_call>bad</tool_call> on", "hm")),
        (f"hm {CALLED[:-20]}", Parsed(CALLED[:-20], "hm")),
        ("hm </thi", Parsed("", "hm </thi")),
        ("<thi", Parsed("", "<thi")),
        ("  ", Parsed()),
        ("", Parsed()),
    ],
)
def test_reasoning_text_and_calls(text: str, parsed: Parsed) -> None:
    for found in every_way(thinking, text):
        assert found == parsed


def test_who_may_think() -> None:
    """An answer that the request began has its reasoning behind it, even where it has no text."""
    for name in ("qwen3.5", "ornith"):
        make = FAMILIES[name].make
        assert (
            make([], None, None).thoughts == make([], Message("user", "hi"), "low").thoughts == Thoughts("", "</think>")
        )
        for last in (Message("assistant", "So"), Message("assistant", "", "hm")):
            assert make([], last, True).thoughts is None
        assert make([], None, False).thoughts is None
    assert whole(FAMILIES["ornith"].make([WEATHER], None, False), f"Hi {CALLED}") == Parsed("Hi", "", (CALL,))


def test_preserved_tokens() -> None:
    assert set(FAMILIES["qwen3.5"].preserved) == {"<think>", "</think>", "<tool_call>", "</tool_call>"}
