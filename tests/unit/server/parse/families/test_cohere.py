"""What Command A writes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.messages import Message, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import FamilyParser
from server.parse.parsed import Parsed, Thoughts
from server.prompt.renderers import RENDERERS
from tests.unit.server.parse.families.pieces import every_way, whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

OPEN, CLOSE = "<|START_ACTION|>", "<|END_ACTION|>"
CALL = '{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Paris", "days": 2}}'


def thinking() -> FamilyParser:
    return FAMILIES["cohere"].make([WEATHER], None, None)


def plain() -> FamilyParser:
    return FAMILIES["cohere"].make([WEATHER], None, False)


def weather(index: int = 0, **arguments: Any) -> ToolCall:
    return ToolCall("get_weather", arguments or {"city": "Paris", "days": 2}, index=index)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("plan<|END_THINKING|><|START_TEXT|>Hi there<|END_TEXT|><|END_OF_TURN_TOKEN|>", Parsed("Hi there", "plan")),
        ("plan \n<|END_THINKING|>\n <|START_RESPONSE|> Hi <|END_RESPONSE|>\n", Parsed(" Hi ", "plan")),
        (f"plan<|END_THINKING|>{OPEN}[\n    {CALL}\n]{CLOSE}", Parsed("", "plan", (weather(),))),
        ("plan<|END_THINKING|> Hi < there <|END", Parsed("Hi < there <|END", "plan")),
        ("a<|END_THINKING|><|START_THINKING|>b<|END_THINKING|>", Parsed("", "ab")),
        ("plan <|END_THIN", Parsed("", "plan <|END_THIN")),
        ("plan\n", Parsed("", "plan")),
        ("", Parsed()),
    ],
)
def test_reasoning_then_text_or_calls(text: str, parsed: Parsed) -> None:
    for found in every_way(thinking, text):
        assert found == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"{OPEN}[{CALL}, {CALL}]{CLOSE} \n", Parsed(calls=(weather(), weather(1)))),
        (f"{OPEN}[{CALL}]{CLOSE}<|START_TEXT|>x<|END_TEXT|>{OPEN}[{CALL}]{CLOSE}",
         Parsed("x", "", (weather(), weather(1)))),
        (f"{OPEN}{CALL}{CLOSE}", Parsed(calls=(weather(),))),
        (f"{OPEN}[{CALL},\n{CALL}", Parsed(calls=(weather(), weather(1)))),
        (f"{OPEN}[{CALL}]<|END_AC", Parsed("<|END_AC", "", (weather(),))),
        (f"{OPEN}[]{CLOSE}", Parsed()),
        (OPEN + '[{"tool_name": "f"}, {"tool_name": "g", "parameters": null}]' + CLOSE,
         Parsed(calls=(ToolCall("f"), ToolCall("g", index=1)))),
        (f'{OPEN}[{{"a": 1}}, {CALL}, {{bad}}]{CLOSE}', Parsed('{"a": 1}, , {bad}', "", (weather(),))),
        (f'{OPEN}[{CALL}, {{"tool_name": "f", "para', Parsed('{"tool_name": "f", "para', "", (weather(),))),
        ("<|START_TEXT|>a<|END_TEXT|>b<|END_OF_TURN_TOKEN|>", Parsed("ab")),
        ("<|START_", Parsed("<|START_")),
        (" \n", Parsed()),
    ],
)  # fmt: skip
def test_actions(text: str, parsed: Parsed) -> None:
    for found in every_way(plain, text):
        assert found == parsed


@pytest.mark.parametrize(
    "text",
    [f"{OPEN}nothing{CLOSE}", OPEN, f"{OPEN}[", f'{OPEN}[{{"tool_name": ""}}]{CLOSE}', f'{OPEN}[{{"tool_name": "f"',
     f'{OPEN}[{{"tool_name": "f", "parameters": 3}}]{CLOSE}', f'{OPEN}["]{CLOSE}'],
)  # fmt: skip
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    for found in every_way(plain, text):
        assert found == Parsed(text)


def test_a_call_comes_when_its_object_is_complete() -> None:
    parser = plain()
    assert parser.feed(f"{OPEN}[{CALL[:-1]}") == Parsed()
    assert parser.feed("}") == Parsed(calls=(weather(),))
    assert parser.feed(f", {CALL}") == Parsed(calls=(weather(1),))


@pytest.mark.parametrize(
    ("last", "think", "thoughts", "parsed"),
    [
        (None, None, Thoughts("", "<|START_TEXT|>"), Parsed("", " a")),
        (Message("user", "hi"), "low", Thoughts("", "<|START_TEXT|>"), Parsed("", " a")),
        (Message("assistant"), True, None, Parsed(" a")),
        (Message("assistant", "so"), True, None, Parsed(" a")),
        (None, False, None, Parsed("a")),
    ],
)
def test_what_an_answer_begins_with(
    last: Message | None, think: bool | str | None, thoughts: Thoughts | None, parsed: Parsed
) -> None:
    parser = FAMILIES["cohere"].make([], last, think)
    assert parser.thoughts == thoughts
    assert whole(parser, " a") == parsed


_PIECES = [*FAMILIES["cohere"].preserved, "<|END_OF_TURN_TOKEN|>", CALL, "{", "}", '"', " ", "x", "<|", "[", ","]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(_PIECES), max_size=8).map("".join), st.booleans())
def test_cuts_never_matter(text: str, thinks: bool) -> None:
    first, *others = every_way(thinking if thinks else plain, text)
    assert all(found == first for found in others)


@pytest.mark.parametrize(
    ("last", "thinks"),
    [
        (Message("assistant", "Yes"), False),
        (Message("assistant", "", "hm"), False),
        (Message("assistant"), False),
        (Message("assistant", "Yes", tool_calls=[ToolCall("f")]), True),
        (Message("user", "Hi"), True),
    ],
)
def test_an_answer_begins_where_the_prompt_ends(last: Message, thinks: bool) -> None:
    """The prompt leaves a last answer open, but for one with calls."""
    prompt = RENDERERS["cohere"]([Message("user", "Hi"), last], [], True)
    assert prompt.endswith("<|START_THINKING|>") == thinks
    parsed = whole(FAMILIES["cohere"].make([], last, True), "so")
    assert parsed == (Parsed(thinking="so") if thinks else Parsed("so"))
