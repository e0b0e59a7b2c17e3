"""Qwen's parsers on text of any kind."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.parse.families import FAMILIES
from tests.unit.server.parse.families.pieces import whole
from tests.unit.server.prompt.renderers.conversations import WEATHER

NAMES = ["qwen3", "qwen3-thinking", "qwen3-vl-instruct", "qwen3-vl-thinking", "qwen3.5", "ornith"]
PIECES = [
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<function=f>", "</function>", "<parameter=p>",
    "</parameter>", '{"name":"f"}', '{"name":"f","arguments":{"a":"</think>"}}', "<", "</tool", " ", "\n\n", "word",
    "é", "\\", '"',
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=14)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(pieces=TEXTS, think=st.sampled_from([None, True, False, "low"]))
def test_pieces_never_change_the_sum(name: str, pieces: list[str], think: bool | str | None) -> None:
    at_once = whole(FAMILIES[name].make([WEATHER], None, think), "".join(pieces))
    assert whole(FAMILIES[name].make([WEATHER], None, think), *pieces) == at_once
    assert whole(FAMILIES[name].make([WEATHER], None, think), *"".join(pieces)) == at_once


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(words=st.lists(st.sampled_from(["<tool_call>", "</tool_call>", "{", '"a"', "x", "<", " "]), max_size=12))
def test_nothing_but_blanks_is_lost(name: str, words: list[str]) -> None:
    """Of text without any call that can be read."""
    text = "".join(words)
    found = whole(FAMILIES[name].make([WEATHER], None, False), text)
    assert found.content.replace(" ", "") == text.replace(" ", "")
