"""Reasoning in front of an answer."""

import pytest

from server.messages import ToolCall
from server.parse.families.calls import TaggedCalls
from server.parse.families.thoughts import Thoughtful
from server.parse.parsed import Parsed, Thoughts
from tests.unit.server.parse.families.pieces import every_way

CALL = ToolCall("f", {})


def calls() -> TaggedCalls:
    return TaggedCalls("<call>", "</call>", lambda body: [CALL] if body == "f" else None)


def opened() -> Thoughtful:
    return Thoughtful(calls(), ends=("<call>",))


def closed() -> Thoughtful:
    return Thoughtful(calls(), ends=("<call>",), opened=False)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("so it is </think>\n\n Hi", Parsed("Hi", "so it is")),
        (" \n<think>\n hm </think>Hi <call>f</call>\n yes", Parsed("Hiyes", "hm", (CALL,))),
        ("hm <call>f</call>", Parsed("", "hm", (CALL,))),
        ("hm </thin", Parsed("", "hm </thin")),
        ("</think>Hi", Parsed("Hi")),
        ("<think><think>hm</think>Hi", Parsed("Hi", "<think>hm")),
        ("<think></think>Hi", Parsed("Hi")),
        ("", Parsed()),
    ],
)
def test_an_answer_that_begins_inside_reasoning(text: str, parsed: Parsed) -> None:
    for found in every_way(opened, text):
        assert found == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Hi </think> there", Parsed("Hi </think> there")),
        ("<think>\nhm\n</think>\n\nHi", Parsed("Hi", "hm")),
        ("<thin", Parsed("<thin")),
        ("<call>f</call>", Parsed(calls=(CALL,))),
    ],
)
def test_an_answer_that_may_begin_with_reasoning(text: str, parsed: Parsed) -> None:
    for found in every_way(closed, text):
        assert found == parsed


def test_marks_tell_where_a_format_may_begin() -> None:
    assert opened().thoughts == Thoughts("", "</think>")
    assert closed().thoughts == Thoughts("<think>", "</think>")
