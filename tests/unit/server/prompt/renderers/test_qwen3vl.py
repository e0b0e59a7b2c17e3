"""Qwen3-VL prompts."""

import pytest

from server.messages import Message, ToolCall
from server.prompt.renderers import RENDERERS
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

thinking = RENDERERS["qwen3-vl-thinking"]
instruct = RENDERERS["qwen3-vl-instruct"]
CALLED = (
    'Checking.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>'
    "<|im_end|>\n<|im_start|>user\n<tool_response>\n22C\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
)
ASKED = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWeather in Paris?<|im_end|>\n<|im_start|>assistant\n"
)
CALLS = (
    '<think>\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n'
    '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
)
OPEN = "<|im_start|>assistant\n"


def test_a_call_and_its_result() -> None:
    assert thinking(EXAMPLE, [], None) == f"{ASKED}<think>\nNeed tool.\n</think>\n\n{CALLED}<think>\n"
    assert instruct(EXAMPLE, [], None) == ASKED + CALLED


def test_the_request_decides_whether_to_think() -> None:
    assert thinking(EXAMPLE, [], False) == instruct(EXAMPLE, [], None)
    assert instruct(EXAMPLE, [], True) == instruct(EXAMPLE, [], "low") == thinking(EXAMPLE, [], None)


def test_tools_stand_behind_the_system_text() -> None:
    prompt = instruct(EXAMPLE, [WEATHER], None)
    assert prompt.startswith(
        "<|im_start|>system\nBe brief.\n\n# Tools\n\nYou may call one or more functions to assist with the user query."
        "\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        '{"type": "function", "function": {"name": "get_weather", "description": "Get weather", "parameters": {"type": '
        '"object", "required": ["city"], "properties": {"city": {"type": "string", "description": "City name"}, '
        '"days": {"type": "integer"}}}}}\n</tools>\n\nFor each function call, return a json object with function name '
        "and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n<|im_start|>user\n'
    )
    assert instruct([Message("user", "hi")], [WEATHER], None).startswith("<|im_start|>system\n# Tools\n")


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (Message("assistant", "So"), "<think>\n\n</think>\n\nSo"),
        (Message("assistant", "\nSo", "\nhm\n"), "<think>\nhm\n</think>\n\nSo"),
        (Message("assistant", "", "hm"), "<think>\nhm"),
        (Message("assistant", tool_calls=[ToolCall("f"), ToolCall("g")]), CALLS),
    ],
)
def test_a_last_answer_is_left_open(last: Message, end: str) -> None:
    assert thinking([Message("user", "hi"), last], [], None).endswith(f"hi<|im_end|>\n{OPEN}{end}")


def test_reasoning_before_the_last_question_is_left_out() -> None:
    """A tool's result that a client wrapped itself is no question."""
    wrapped = Message("user", "<tool_response>\n1\n</tool_response>")
    old = Message("assistant", "A", "old")
    assert "old" not in thinking([Message("user", "1"), old, Message("user", "2")], [], None)
    assert "<think>\nold\n</think>\n\nA<|im_end|>" in thinking([Message("user", "1"), old, wrapped], [], None)


def test_later_system_messages_are_turns_and_pictures_are_marked() -> None:
    messages = [
        Message("user", "look [img] and", images=[b"1", b"2"]),
        Message("system", "Now"),
        Message("critic", "no"),
    ]
    assert instruct(messages, [], None) == (
        "<|im_start|>user\n[img-1] look [img-0] and<|im_end|>\n<|im_start|>system\nNow<|im_end|>\n" + OPEN
    )
