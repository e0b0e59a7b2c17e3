"""Texts that no model should write, read by every parser there is: marks in any order, cut anywhere."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server import jsonout
from server.messages import Message
from server.parse.families import FAMILIES, Family
from tests.unit.server.parse.families.pieces import whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

NAMES = sorted(FAMILIES)
FRAGMENTS = (
    "get_weather", '{"city": "Paris"}', '{"city": ', "{", "}", "[", "]", '"', "'", "\\", ",", ":", "=", "(", ")",
    "\n```json\n", "\n```", 'get_weather(city="Paris")', "<function=get_weather>", "<parameter=city>", "</parameter>",
    "</function>", "<think>", "</think>", "call:get_weather{city:", "to=get_weather", "to=self", "analysis", "final",
    "commentary to=functions.get_weather", "assistant", "thought\n", "<atem:function_calls>", "</atem:function_calls>",
    '<atem:invoke name="get_weather">', "</atem:invoke>", '<atem:parameter name="city">', "</atem:parameter>",
    '{"name": "get_weather", "arguments": {"days": 99999999999999999999}}', '{"name": ["get_weather"]}', "1e300", "NaN",
    '{"tool_name": "get_weather", "parameters": {}}', "[CALL_ID]", "city", "\ud800", '"\\ud800"', "[" * 200, "é",
)  # fmt: skip
LASTS = (None, Message("assistant", "Yes"), Message("assistant", "", "hm"), Message("tool", "22C"))
THINK = (None, True, False, "low")

Around: TypeAlias = Callable[[str, str], object]

HEADER: Final = re.compile(r"(?:[^<]|<\|(?:start|end|channel|constrain)\|>)*<\|message\|>")
"""What a word in a header is followed by."""
VANISHES: Final[Mapping[str, Around]] = {
    "harmony": lambda before, after: HEADER.match(after),
    "glimmer": lambda before, after: HEADER.match(after),
    "cogito": lambda before, after: "<｜tool▁outputs▁begin｜>" in before and "<｜tool▁outputs▁end｜>" in after,
    "gemma4-no-thinking": lambda before, after: "<|channel>" in before,
}
"""Words that are dropped on purpose, by what stands around them: in a header, in results that a model made up, in the
reasoning of a model that has none."""


@st.composite
def _texts(draw: st.DrawFn, family: Family) -> list[str]:
    """A text in pieces."""
    fragments = st.sampled_from([*family.preserved, *family.preserved, *FRAGMENTS, " ", "\n", "x"])
    text = "".join(draw(st.lists(fragments | st.text(max_size=3), max_size=12)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=25)
@given(data=st.data(), last=st.sampled_from(LASTS), think=st.sampled_from(THINK))
def test_pieces_do_not_change_what_comes_out(
    name: str, data: st.DataObject, last: Message | None, think: bool | str | None
) -> None:
    """Nor does any text end in an error; whatever was read can be sent."""
    family = FAMILIES[name]
    pieces = data.draw(_texts(family))
    parsed = whole(family.make([WEATHER], last, think), "".join(pieces))
    assert whole(family.make([WEATHER], last, think), *pieces) == parsed
    jsonout.dumps([parsed.content, parsed.thinking, *(jsonout.free(call.arguments) for call in parsed.calls)])


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_no_word_is_lost(name: str, data: st.DataObject) -> None:
    family = FAMILIES[name]
    words = _numbered(data.draw(st.lists(st.sampled_from([*family.preserved, " ", "word"]), max_size=12)))
    parsed = whole(family.make([WEATHER], None, True), "".join(words))
    said = parsed.thinking + parsed.content + "".join(f"{call.name} {call.arguments}" for call in parsed.calls)
    for place, word in enumerate(words):
        if word.startswith("word") and word not in said:
            assert name in VANISHES
            assert VANISHES[name]("".join(words[:place]), "".join(words[place + 1 :]))


def _numbered(fragments: Sequence[str]) -> list[str]:
    return [f"word{number}." if text == "word" else text for number, text in enumerate(fragments)]
