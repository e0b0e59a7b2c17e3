"""What Qwen3 and Qwen3-VL write."""

from collections.abc import Callable

import pytest

from server.messages import Message, ToolCall
from server.parse.families import FAMILIES
from server.parse.parsed import Parsed, Parser, Thoughts
from tests.unit.server.parse.families.pieces import every_way, whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

PLAIN = ["qwen3", "qwen3-vl-instruct"]
THINKING = ["qwen3-thinking", "qwen3-vl-thinking"]
NO_ARGUMENTS = ToolCall("get_weather")
PARIS = ToolCall("get_weather", {"city": "Paris"})
CALLED = '<tool_call>{"name":"get_weather","arguments":{}}</tool_call>'
CALLED_PARIS = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'


def of(name: str, last: Message | None = None, think: bool | str | None = None) -> Callable[[], Parser]:
    return lambda: FAMILIES[name].make([WEATHER], last, think)


@pytest.mark.parametrize("name", THINKING)
@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Let me think. </think>\n\nAnswer", Parsed("Answer", "Let me think.")),
        (f"abc {CALLED} tail", Parsed("tail", "abc", (NO_ARGUMENTS,))),
        (f"think\n</think>\n\nanswer {CALLED_PARIS}\n ok", Parsed("answerok", "think", (PARIS,))),
        ("\n<think>\nhm <think></think>ok", Parsed("ok", "hm <think>")),
        ("hm </think>", Parsed("", "hm")),
        ("hm", Parsed("", "hm")),
        ("hm </think", Parsed("", "hm </think")),
        ("", Parsed()),
        ("</think></think>", Parsed("</think>")),
        ("hm<tool_call>bad", Parsed("<tool_call>bad", "hm")),
    ],
)
def test_reasoning_text_and_calls(name: str, text: str, parsed: Parsed) -> None:
    for found in every_way(of(name), text):
        assert found == parsed


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"Hi \n{CALLED} tail ", Parsed("Hitail", "", (NO_ARGUMENTS,))),
        ('<tool_call>  {"name":"f"}  </tool_call>', Parsed("", "", (ToolCall("f"),))),
        ('<tool_call>{"arguments":{"z":1,"a":[{"b":null}]},"name":"f"}</tool_call>',
         Parsed("", "", (ToolCall("f", {"z": 1, "a": [{"b": None}]}),))),
        ('<tool_call>{"name":"f","arguments":null}</tool_call>', Parsed("", "", (ToolCall("f"),))),
        ("no </think> here", Parsed("no </think> here")),
        ("a < b <tool_cal", Parsed("a < b <tool_cal")),
    ],
)  # fmt: skip
def test_text_and_calls(name: str, text: str, parsed: Parsed) -> None:
    for found in every_way(of(name), text):
        assert found == parsed


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>bad</tool_call>",
        "<tool_call></tool_call>",
        '<tool_call>{"name":"","arguments":{}}</tool_call>',
        '<tool_call>{"name":"f","arguments":"{}"}</tool_call>',
        '<tool_call>{"name":7}</tool_call>',
        '<tool_call>[{"name":"f"}]</tool_call>',
        '<tool_call>{"name":"f","arguments":{"a":NaN}}</tool_call>',
        '<tool_call>{"name":"f"}{"name":"g"}</tool_call>',
        '<tool_call>{"name":"f","arguments":{"city":"Par',
        "<tool_call><tool_call>{}</tool_call>",
        "<tool_call>" + "[" * 500 + "</tool_call>",
        "<tool_call>",
    ],
)
def test_what_is_no_call_stays_in_the_text(name: str, text: str) -> None:
    for found in every_way(of(name), text):
        assert found == Parsed(text)


def test_calls_are_counted_and_come_at_once() -> None:
    parser = of("qwen3")()
    assert [call.index for call in parser.feed(CALLED).calls] == [0]
    assert [call.index for call in parser.feed(CALLED_PARIS * 2).calls] == [1, 2]


@pytest.mark.parametrize("name", THINKING)
def test_who_may_think(name: str) -> None:
    begun = Message("assistant", "So")
    assert FAMILIES[name].make([], None, None).thoughts == Thoughts("", "</think>")
    assert FAMILIES[name].make([], Message("assistant", "", "hm"), "low").thoughts == Thoughts("", "</think>")
    assert FAMILIES[name].make([], begun, True).thoughts is None
    assert FAMILIES[name].make([], begun, False).thoughts is None
    assert whole(of(name, begun)(), "x</think>y") == Parsed("x</think>y")


def test_told_not_to_think() -> None:
    """Qwen3-VL's prompt does not keep the model from opening reasoning itself; without it all is the answer."""
    for name in THINKING:
        assert whole(of(name, None, False)(), "an answer") == Parsed("an answer")
    assert whole(of("qwen3-vl-thinking", None, False)(), "<think>\nhm\n</think>\n\nso") == Parsed("so", "hm")
    assert whole(of("qwen3-thinking", None, False)(), "<think>hm</think>so") == Parsed("<think>hm</think>so")


def test_preserved_tokens() -> None:
    calls = {"<tool_call>", "</tool_call>"}
    for name in (*PLAIN, *THINKING):
        thoughts = {"</think>"} if "vl" in name else {"<think>", "</think>"}
        assert set(FAMILIES[name].preserved) == calls | thoughts
