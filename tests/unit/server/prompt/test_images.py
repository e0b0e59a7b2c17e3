"""Marks of pictures and sounds in a conversation."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import frames
from server.messages import Message, ToolCall
from server.prompt import images
from server.prompt.renderers import RENDERERS
from server.prompt.renderers.media import tagged

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


def by_renderer(messages: Sequence[Message]) -> list[Message]:
    return tagged(images.leave(messages))


PLACERS = [images.place, images.place_missing, images.append, by_renderer]
TEXTS = st.sampled_from(
    ["", "a", "[img]", "[img] b [img]", "[img-0]", "[img-1] and [img]", "[img-7]", "[img-", "[img-x]"]
)


def contents(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages]


def read(messages: Sequence[Message]) -> list[str]:
    """As the model gets it, apart from the media."""
    return [images.unguarded(text) for text in contents(messages)]


def test_marks_replace_placeholders_and_lead_otherwise() -> None:
    messages = [
        Message(USER, "see [img] and", images=[b"1", b"2"]),
        Message(ASSISTANT, "[img]"),
        Message(USER, "more", images=[b"3"]),
    ]
    found = images.place(messages)
    assert contents(found) == ["[img-1]see [img-0] and", "[img]", "[img-2]more"]
    assert images.collect(found) == [b"1", b"2", b"3"]


def test_more_placeholders_than_media_are_text() -> None:
    (found,) = images.place([Message(USER, "[img] and [img] and [img]", images=[b"1", b"2"])])
    assert found.content == "[img-0] and [img-1] and [img]"


def test_marks_behind_the_text_leave_placeholders_alone() -> None:
    found = images.append([Message(USER, "see [img]", images=[b"1"]), Message(USER, "", images=[b"2"])])
    assert contents(found) == ["see [img][img-0]", "[img-1]"]


def test_every_role_may_carry_media() -> None:
    roles = [SYSTEM, USER, ASSISTANT, "tool", "developer"]
    found = images.place([Message(role, "x", images=[b""]) for role in roles])
    assert contents(found) == [f"[img-{number}]x" for number in range(5)]


def test_marks_may_be_renamed() -> None:
    """The first of a number is the mark, another one is text."""
    assert images.renamed("[img-0] [img-1] [img-0] [img-2]", 2, "<m>") == "<m> <m> [img-0] [img-2]"


# -- what only looks like a mark --------------------------------------------------------------------------------------


@pytest.mark.parametrize("placer", PLACERS)
def test_what_somebody_wrote_is_no_mark(placer: Callable[[Sequence[Message]], list[Message]]) -> None:
    """Neither in front of the message with the picture, nor in it, nor in thoughts and calls."""
    call = ToolCall("f", {"a": ["[img-0]", {"b": "[img-1]", "c": 1}]})
    messages = [
        Message(SYSTEM, "Never say [img-0]."),
        Message(ASSISTANT, "", thinking="[img-0]?", tool_calls=[call]),
        Message(USER, "What does [img-5] mean?", images=[b"1"]),
    ]
    found = placer(messages)
    text = "".join(contents(found)) + found[1].thinking + str(found[1].tool_calls)
    assert text.count("[img-0]") == 1
    assert "[img-5]" not in text
    assert "[img-0]" in found[2].content
    assert read(found)[:2] == ["Never say [img-0].", ""]
    assert "What does [img-5] mean?" in read(found)[2]
    assert messages[1].tool_calls == [call]
    assert call.arguments == {"a": ["[img-0]", {"b": "[img-1]", "c": 1}]}, "the given ones are left alone"


def test_without_media_nothing_is_touched() -> None:
    messages = [Message(USER, "[img-0] [img]")]
    for placer in PLACERS:
        assert placer(messages) == messages


def test_the_engine_knows_the_guard() -> None:
    assert images.GUARDED == frames.NO_MARK


def test_a_go_template_puts_marks_in_front_of_one_that_was_written() -> None:
    (found,) = images.place([Message(USER, "[img-0]?", images=[b""])])
    assert found.content == f"[img-0]{images.GUARDED}0]?"


def test_where_the_caller_may_place_media_the_others_are_placed_for_him() -> None:
    messages = [Message(USER, "[img-1] or [img]", images=[b"1", b"2"]), Message(USER, "[img-0]", images=[b"3"])]
    assert read(images.place_missing(messages)) == ["[img-1] or [img-0]", "[img-2][img-0]"]


def test_renderers_leave_a_mark_where_it_is_and_get_the_others_placed() -> None:
    messages = [Message(USER, "[img-1] or", images=[b"1", b"2"]), Message(USER, "[img-0]", images=[b"3"])]
    assert contents(images.leave(messages)) == ["[img-0][img-1] or", f"{images.GUARDED}0]"]
    assert read(by_renderer(messages)) == ["[img-0][img-1] or", "[img-2] [img-0]"]


@given(st.lists(st.tuples(TEXTS, st.integers(0, 3)), max_size=5))
def test_every_medium_has_one_mark_in_its_message_and_every_text_stays(turns: list[tuple[str, int]]) -> None:
    messages = [Message(USER, text, images=[b""] * count) for text, count in turns]
    for placer in PLACERS:
        placed, number = placer(messages), 0
        for message in placed:
            for _ in message.images:
                assert message.content.count(f"[img-{number}]") == 1
                number += 1
        text = "".join(contents(placed)) if number else ""
        assert text.count("[img-") == sum(text.count(f"[img-{known}]") for known in range(number)) + text.count(
            "[img-x"
        )


# -- renderers of families --------------------------------------------------------------------------------------------

SEEING = [
    "qwen3-vl-instruct",
    "qwen3-vl-thinking",
    "qwen3.5",
    "qwen3.8",
    "ornith",
    "gemma4",
    "gemma4-small",
    "gemma4-large",
    "glm-ocr",
    "lfm2",
    "lfm2-thinking",
    "nemotron-3-nano",
    "nemotron-3.5-nano",
    "glimmer",
]


@pytest.mark.parametrize("name", SEEING)
def test_renderers_of_families_that_see(name: str) -> None:
    """Several in a message, one in a later turn, one in a result of a tool; literals stay literals."""
    messages = [
        Message(SYSTEM, "No [img-2] here"),
        Message(USER, "look [img] and", images=[b"1", b"2"]),
        Message(ASSISTANT, "Yes."),
        Message(USER, "And [img-0]?", images=[b"3"]),
        Message(ASSISTANT, "", tool_calls=[ToolCall("f", {}, "1")]),
        Message("tool", "seen", images=[b"4"], tool_name="f", tool_call_id="1"),
    ]
    prompt = RENDERERS[name](images.leave(messages), [], False)
    marks = [prompt.index(f"[img-{number}]") for number in range(4)]
    assert all(prompt.count(f"[img-{number}]") == 1 for number in range(4))
    assert marks[1] < marks[0] < marks[2] < marks[3]
    assert "No [img-2] here" in images.unguarded(prompt)
    assert "[img-2] And [img-0]?" in images.unguarded(prompt)
