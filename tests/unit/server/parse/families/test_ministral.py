"""What Ministral writes."""

import pytest

from server.messages import Tool, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import FamilyParser
from server.parse.parsed import Parsed
from tests.unit.server.parse.families.pieces import every_way
from tests.unit.server.prompt.renderers.conversations import WEATHER

CALLED = '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}'


def parser() -> FamilyParser:
    return FAMILIES["ministral"].make([WEATHER, Tool(name="f")], None, None)


def paris(index: int = 0) -> ToolCall:
    return ToolCall("get_weather", {"city": "Paris"}, index=index)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", Parsed()),
        ("a [b] [TOOL_, [TOOL_CALL", Parsed("a [b] [TOOL_, [TOOL_CALL")),
        (f"Hi {CALLED}{CALLED} x", Parsed("Hi x", "", (paris(), paris(1)))),
        (f"{CALLED} \n {CALLED}\n", Parsed("", "", (paris(), paris(1)))),
        ('[TOOL_CALLS] f [ARGS] {"a": {"b": "}{\\""}}x', Parsed("x", "", (ToolCall("f", {"a": {"b": '}{"'}}),))),
        ('[TOOL_CALLS]f[CALL_ID]a1[ARGS]{"b": 1, "a": 2}', Parsed(calls=(ToolCall("f", {"b": 1, "a": 2}),))),
        ("Hi [THINK] hm \n[/THINK]\n so", Parsed("Hiso", " hm \n")),
        (f"[THINK]hm[/THINK] {CALLED} x[THINK]ah", Parsed(" x", "hmah", (paris(),))),
        ("[THINK]hm [/THIN", Parsed("", "hm [/THIN")),
        (f"[THINK]{CALLED}", Parsed("", CALLED)),
    ],
)
def test_text_reasoning_and_calls(text: str, parsed: Parsed) -> None:
    for found in every_way(parser, text):
        assert found == parsed


@pytest.mark.parametrize(
    "text",
    [
        "[TOOL_CALLS]", "[TOOL_CALLS]get_weather", "[TOOL_CALLS]get_weather[ARGS]", "[TOOL_CALLS]get_weather[AR",
        "[TOOL_CALLS]unknown[ARGS]{}", "[TOOL_CALLS][ARGS]{}", "[TOOL_CALLS]f[ARGS][1]", "[TOOL_CALLS]f[ARGS]none",
        "[TOOL_CALLS]f[ARGS]{a: 1}", '[TOOL_CALLS]f[ARGS]{"a": 1', "[TOOL_CALLS]f[ARGS]{1}",
        "[TOOL_CALLS]" * 3, "[TOOL_CALLS][THINK]",
    ],
)  # fmt: skip
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    for found in every_way(parser, text):
        assert found == Parsed(text)


def test_of_opening_marks_the_last_one_counts() -> None:
    for found in every_way(parser, f"a [TOOL_CALLS]b {CALLED}"):
        assert found == Parsed("a[TOOL_CALLS]b ", "", (paris(),))


def test_a_call_behind_one_that_cannot_be_read() -> None:
    for found in every_way(parser, f"[TOOL_CALLS]unknown[ARGS]{{}} {CALLED}"):
        assert found == Parsed("[TOOL_CALLS]unknown[ARGS]{}", "", (paris(),))


def test_a_call_is_handed_out_when_it_ends() -> None:
    assert parser().feed(CALLED).calls == (paris(),)


def test_a_format_binds_from_the_beginning() -> None:
    assert parser().thoughts is None
