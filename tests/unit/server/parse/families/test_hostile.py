"""Texts that no model should write: marks in any order, cut anywhere."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.parse.families import FAMILIES
from tests.unit.server.parse.families.pieces import whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

NAMES = ("cogito", "deepseek3", "olmo3", "olmo3-think", "nemotron-3-nano", "ministral")
CALLS = (
    "get_weather", '{"city": "Paris"}', '{"city": ', "}", "\n```json\n", "\n```", 'get_weather(city="Paris")',
    "<function=get_weather>", "<parameter=city>", "</parameter>", "</function>", "<think>",
)  # fmt: skip
DROPPED = {"cogito": "<｜tool▁outputs▁end｜>"}
"""Marks behind text that is dropped on purpose."""


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_pieces_do_not_change_what_comes_out(name: str, data: st.DataObject) -> None:
    family = FAMILIES[name]
    fragments = st.sampled_from([*family.preserved, *CALLS, " ", "\n", "x"])
    text = "".join(data.draw(st.lists(fragments, max_size=12)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for think in (None, True):
        assert whole(family.make([WEATHER], None, think), *pieces) == whole(family.make([WEATHER], None, think), text)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_word_is_lost_without_a_call(name: str, data: st.DataObject) -> None:
    family = FAMILIES[name]
    marks = [mark for mark in family.preserved if mark != DROPPED.get(name)]
    drawn = data.draw(st.lists(st.sampled_from([*marks, " ", "word"]), max_size=12))
    words = _numbered(drawn)
    for think in (None, True):
        parsed = whole(family.make([WEATHER], None, think), "".join(words))
        assert not parsed.calls
        said = parsed.thinking + parsed.content
        assert [word for word in words if word.startswith("word")] == _found(said, words)


def _numbered(fragments: Sequence[str]) -> list[str]:
    return [f"word{number}." if text == "word" else text for number, text in enumerate(fragments)]


def _found(text: str, words: Sequence[str]) -> list[str]:
    return sorted((word for word in words if word.startswith("word") and word in text), key=words.index)
