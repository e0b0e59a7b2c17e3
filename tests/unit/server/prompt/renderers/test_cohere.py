"""Command A prompts."""

import pytest

from server.messages import Message, ToolCall
from server.prompt.renderers import RENDERERS
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

render = RENDERERS["cohere"]
TURN, END = "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"
NO_TOOLS = "# Available Tools\n```json\n[\n\n\n\n]\n```<|END_TEXT|>" + END
ANSWER = f"{TURN}<|CHATBOT_TOKEN|>"
PLAIN = f"{TURN}<|SYSTEM_TOKEN|><|START_TEXT|>{NO_TOOLS}"


def said(role: str, text: str) -> str:
    return f"{TURN}<|{role}_TOKEN|><|START_TEXT|>{text}<|END_TEXT|>{END}"


def result(number: str, content: str) -> str:
    return (
        f'\n    {{\n        "tool_call_id": "{number}",\n        "results": {{\n\n            \n            "0": '
        f'{{"content": {content}}}\n\n        }},\n        "is_error": null\n    }}'
    )


def results(*each: str) -> str:
    return f"{TURN}<|SYSTEM_TOKEN|><|START_TOOL_RESULT|>[{','.join(each)}\n\n]<|END_TOOL_RESULT|>{END}"


TAIL = (
    said("USER", "Weather in Paris?")
    + f"{ANSWER}\n            \n                <|START_THINKING|>Need tool.<|END_THINKING|><|START_ACTION|>[\n\n    "
    + '{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Paris", "days": 2}}\n\n]'
    + f"<|END_ACTION|>{END}"
    + results(result("0", '"22C"'))
    + f"{ANSWER}<|START_THINKING|>"
)


def test_a_call_and_its_result() -> None:
    header = f"{TURN}<|SYSTEM_TOKEN|><|START_TEXT|>Be brief.\n\n\n\n{NO_TOOLS}"
    assert render(EXAMPLE, [], None) == header + TAIL
    assert render(EXAMPLE, [], False) == header + TAIL + "<|END_THINKING|>"


def test_tools_are_listed() -> None:
    tool = (
        '\n    {"name": "get_weather", "description": "Get weather", "parameters": {"type": "object", "required": '
        '["city"], "properties": {"city": {"type": "string", "description": "City name"}, "days": {"type": "integer"}}}'
        ', "responses": null}'
    )
    assert render([Message("user", "hi")], [WEATHER], True) == (
        f"{TURN}<|SYSTEM_TOKEN|><|START_TEXT|># Available Tools\n```json\n[\n{tool}\n\n\n]\n```<|END_TEXT|>{END}"
        + said("USER", "hi")
        + f"{ANSWER}<|START_THINKING|>"
    )
    assert f"[\n{tool},{tool}\n\n\n]" in render([], [WEATHER, WEATHER], True)


def test_calls_are_numbered_through_the_conversation() -> None:
    calls = [ToolCall("f", {}, "a"), ToolCall("g", {"x": "<"}, "b")]
    turns = [
        Message("assistant", "dropped", tool_calls=calls),
        Message("tool", 'say "b"', tool_call_id="b"),
        Message("tool", "a", tool_call_id="a"),
        Message("assistant", tool_calls=[ToolCall("f", {}, "c")]),
        Message("tool", "c", tool_call_id="c"),
        Message("user", "?"),
        Message("tool", "lost", tool_call_id="z"),
    ]
    opening = f"{ANSWER}\n            \n                <|START_ACTION|>["
    assert render(turns, [], None) == (
        PLAIN
        + opening
        + '\n\n    {"tool_call_id": "0", "tool_name": "f", "parameters": {}},'
        + '\n\n    {"tool_call_id": "1", "tool_name": "g", "parameters": {"x": "\\u003c"}}\n\n]<|END_ACTION|>'
        + END
        + results(result("1", '"say \\"b\\""'), result("0", '"a"'))
        + opening
        + '\n\n    {"tool_call_id": "2", "tool_name": "f", "parameters": {}}\n\n]<|END_ACTION|>'
        + END
        + results(result("2", '"c"'))
        + said("USER", "?")
        + results(result("z", '"lost"'))
        + f"{ANSWER}<|START_THINKING|>"
    )


@pytest.mark.parametrize("role", ["assistant", "Chatbot"])
def test_a_last_answer_is_left_open(role: str) -> None:
    turns = [Message("user", "hi"), Message(role, "so", "hm")]
    asked, thoughts = PLAIN + said("USER", "hi"), "<|START_THINKING|>hm<|END_THINKING|>"
    assert render(turns, [], None) == f"{asked}{ANSWER}{thoughts}<|START_TEXT|>so"
    assert render([*turns, Message("System", "later")], [], None) == (
        f"{asked}{ANSWER}{thoughts}<|START_TEXT|>so<|END_TEXT|>{END}"
        + said("SYSTEM", "later")
        + f"{ANSWER}<|START_THINKING|>"
    )
    with_call = [Message(role, "so", tool_calls=[ToolCall("f")])]
    assert render(with_call, [], None).endswith(f"{END}{ANSWER}<|START_THINKING|>")
