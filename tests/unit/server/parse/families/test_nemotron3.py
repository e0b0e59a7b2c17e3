"""What Nemotron 3 writes."""

from collections.abc import Callable
from functools import partial

import pytest

from server.messages import Message, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import FamilyParser
from server.parse.parsed import Parsed, Thoughts
from tests.unit.server.parse.families.pieces import every_way
from tests.unit.server.prompt.renderers.conversations import WEATHER

NAMES = pytest.mark.parametrize("name", ["nemotron-3-nano", "nemotron-3.5-nano"])
CALLED = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>\n"
PARIS = ToolCall("get_weather", {"city": "Paris"})


def parser(name: str, last: Message | None = None, think: bool | str | None = None) -> Callable[[], FamilyParser]:
    return partial(FAMILIES[name].make, [WEATHER], last, think)


@NAMES
@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"<think>\nplan\n</think>\n\nHi {CALLED}", Parsed("Hi", "plan", (PARIS,))),
        ("x </think>\n\n y", Parsed("y", "x")),
        (f"plan {CALLED}", Parsed("", "plan", (PARIS,))),
        (f"</think>{CALLED}{CALLED}so", Parsed("so", "", (PARIS, ToolCall("get_weather", {"city": "Paris"}, index=1)))),
        ("plan <tool_ca", Parsed("", "plan <tool_ca")),
        ("plan <tool_call>\n<function=", Parsed("<tool_call>\n<function=", "plan")),
        ("", Parsed()),
    ],
)
def test_reasoning_then_text_and_calls(name: str, text: str, parsed: Parsed) -> None:
    for found in every_way(parser(name), text):
        assert found == parsed


@NAMES
def test_without_reasoning(name: str) -> None:
    for found in every_way(parser(name, think=False), f"Hi {CALLED}"):
        assert found == Parsed("Hi", "", (PARIS,))


@pytest.mark.parametrize(
    ("name", "last", "think", "opened"),
    [
        ("nemotron-3-nano", Message("user", "hi"), None, True),
        ("nemotron-3-nano", Message("user", "hi /no_think"), True, False),
        ("nemotron-3-nano", Message("user", "hi /think"), False, True),
        ("nemotron-3-nano", Message("tool", "hi /no_think"), None, True),
        ("nemotron-3-nano", Message("assistant", "so"), None, True),
        ("nemotron-3.5-nano", Message("user", "hi /no_think"), None, True),
        ("nemotron-3.5-nano", Message("user", "hi /think"), False, False),
        ("nemotron-3.5-nano", None, "medium", True),
    ],
)
def test_reasoning_is_expected_where_the_prompt_opens_it(
    name: str, last: Message | None, think: bool | str | None, opened: bool
) -> None:
    assert parser(name, last, think)().thoughts == (Thoughts("", "</think>") if opened else None)
