"""From a request to the list of messages that becomes its prompt."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages import Message, ToolCall
from server.prompt import conversation, fit, gotemplate, images

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


# -- which messages ---------------------------------------------------------------------------------------------------


def test_the_models_system_text_and_history_come_first() -> None:
    history = [Message(USER, "h1"), Message(ASSISTANT, "h2")]
    found = conversation.for_chat([Message(USER, "q")], history, "sys")
    assert [message.content for message in found] == ["sys", "h1", "h2", "q"]


def test_a_request_with_its_own_system_text_keeps_the_history_only() -> None:
    found = conversation.for_chat([Message(SYSTEM, "mine"), Message(USER, "q")], [Message(USER, "h")], "sys")
    assert [message.content for message in found] == ["h", "mine", "q"]


def test_generate_is_one_user_message() -> None:
    found = conversation.for_generate("q", [b"png"], "sys", [Message(USER, "h")])
    assert found == [Message(SYSTEM, "sys"), Message(USER, "h"), Message(USER, "q", images=[b"png"])]


def test_generate_with_a_context_has_no_history() -> None:
    assert conversation.for_generate("q", history=None) == [Message(USER, "q")]


def test_old_thinking_leaves_answers_before_the_last_question() -> None:
    thought = "<think>\nhm\n</think>\n\nA"
    messages = [Message(USER, thought), Message(ASSISTANT, thought), Message(USER, "q"), Message(ASSISTANT, thought)]
    found = [message.content for message in conversation.without_old_thinking(messages)]
    assert found == [thought, "A", "q", thought]


@pytest.mark.parametrize("text", ["A", " A <think>b</think>", "<thin", "  "])
def test_answers_without_thinking_stay(text: str) -> None:
    messages = [Message(ASSISTANT, text), Message(USER, "q")]
    assert conversation.without_old_thinking(messages)[0].content == (text if text.strip() else "")


# -- images -----------------------------------------------------------------------------------------------------------


def test_marks_replace_placeholders_and_lead_otherwise() -> None:
    messages = [
        Message(USER, "see [img] and", images=[b"1", b"2"]),
        Message(ASSISTANT, "[img]"),
        Message(USER, "more", images=[b"3"]),
    ]
    found = images.place(messages)
    assert [message.content for message in found] == ["[img-1]see [img-0] and", "[img]", "[img-2]more"]
    assert images.collect(found) == [b"1", b"2", b"3"]


def test_marks_behind_the_text_leave_placeholders_alone() -> None:
    found = images.append([Message(USER, "see [img]", images=[b"1"]), Message(USER, "", images=[b"2"])])
    assert [message.content for message in found] == ["see [img][img-0]", "[img-1]"]


def test_marks_may_be_renamed() -> None:
    """The first of a number is the mark, another one is text."""
    assert images.renamed("[img-0] [img-1] [img-0] [img-2]", 2, "<m>") == "<m> <m> [img-0] [img-2]"


@given(st.lists(st.tuples(st.sampled_from(["", "a", "[img]", "[img] b [img]", "[img-7]"]), st.integers(0, 3))))
def test_every_image_has_a_mark(turns: list[tuple[str, int]]) -> None:
    messages = [Message(USER, text, images=[b""] * count) for text, count in turns]
    for placed in (images.place(messages), images.append(messages)):
        text = "".join(message.content for message in placed)
        assert all(f"[img-{number}]" in text for number in range(images.total(messages)))


# -- collation --------------------------------------------------------------------------------------------------------


def test_neighbours_of_one_role_are_merged_with_all_they_carry() -> None:
    first = Message(ASSISTANT, "a", thinking="x", tool_calls=[ToolCall("f")], images=[b"1"])
    second = Message(ASSISTANT, "b", thinking="y", tool_calls=[ToolCall("g")], images=[b"2"])
    assert gotemplate.collate([first, second]) == [
        Message(ASSISTANT, "a\n\nb", "x\n\ny", [b"1", b"2"], [ToolCall("f"), ToolCall("g")])
    ]
    assert first.content == "a"


def test_results_of_tools_stay_apart() -> None:
    results = [Message("tool", "1"), Message("tool", "2")]
    assert gotemplate.collate(results) == results


# -- truncation -------------------------------------------------------------------------------------------------------


async def _joined(messages: Sequence[Message]) -> str:
    return "".join(f"{message.role}:{message.content};" for message in messages)


async def _length(prompt: str) -> int:
    return len(prompt.encode())


_TURN = st.builds(Message, st.sampled_from([SYSTEM, USER, ASSISTANT, "tool"]), st.text("xé", max_size=30))


@pytest.mark.anyio
async def test_a_prompt_of_few_bytes_is_not_counted() -> None:
    async def never(prompt: str) -> int:
        raise AssertionError(prompt)

    messages = [Message(USER, "a"), Message(USER, "b")]
    assert await fit(messages, limit=15, render=_joined, count=never) == messages


@pytest.mark.anyio
async def test_a_picture_costs_tokens_where_there_is_a_projector() -> None:
    messages = [Message(USER, "a", images=[b""]), Message(USER, "b")]
    assert await fit(messages, limit=700, render=_joined, count=_length) == messages
    assert await fit(messages, limit=700, render=_joined, count=_length, has_projector=True) == messages[1:]


@pytest.mark.anyio
@pytest.mark.parametrize("messages", [[], [Message(USER, "x" * 99)]])
async def test_the_last_message_always_stays(messages: list[Message]) -> None:
    assert await fit(messages, limit=4, render=_joined, count=_length) == messages


@given(st.lists(_TURN, min_size=1, max_size=8), st.integers(1, 120))
def test_the_oldest_go_first_and_system_texts_stay(messages: list[Message], limit: int) -> None:
    """The result is the first candidate of the rule that fits."""
    kept = asyncio.run(fit(messages, limit=limit, render=_joined, count=_length))
    for index in range(len(messages)):
        candidate = [m for m in messages[:index] if m.role == SYSTEM] + messages[index:]
        fits = asyncio.run(_length(asyncio.run(_joined(candidate)))) <= limit
        if fits or index == len(messages) - 1:
            assert kept == candidate
            break
