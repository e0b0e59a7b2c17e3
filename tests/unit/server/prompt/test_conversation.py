"""From a request to the list of messages that becomes its prompt."""

import pytest

from server.messages import Message, ToolCall
from server.prompt import conversation, gotemplate

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
