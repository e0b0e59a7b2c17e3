"""LFM2 prompts."""

import pytest

from server.messages import Message, ToolCall
from server.prompt.renderers import RENDERERS
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

plain, thinking = RENDERERS["lfm2"], RENDERERS["lfm2-thinking"]
START = "<|startoftext|><|im_start|>system\nBe brief."
ASKED = "<|im_end|>\n<|im_start|>user\nWeather in Paris?<|im_end|>\n"
CALLED = '<|tool_call_start|>[get_weather(city="Paris",days=2)]<|tool_call_end|>\nChecking.<|im_end|>\n'
ANSWERED = "<|im_start|>tool\n<|tool_response_start|>22C<|tool_response_end|><|im_end|>\n<|im_start|>assistant\n"
HI = Message("user", "hi")


def test_a_call_and_its_result() -> None:
    assert plain(EXAMPLE, [], True) == f"{START}{ASKED}<|im_start|>assistant\n{CALLED}{ANSWERED}"
    assert thinking(EXAMPLE, [], None) == (
        f"{START}{ASKED}<|im_start|>assistant\n<think>Need tool.</think>{CALLED}{ANSWERED}"
    )


def test_tools_are_listed_behind_the_system_text() -> None:
    listed = (
        'List of tools: <|tool_list_start|>[{"name": "get_weather", "description": "Get weather", "parameters": '
        '{"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "description": "City name"}'
        ', "days": {"type": "integer"}}}}'
    )
    assert plain(EXAMPLE, [WEATHER], None).startswith(f"{START}\n{listed}]<|tool_list_end|><|im_end|>\n")
    assert plain([HI], [WEATHER, WEATHER], None).startswith(f'<|startoftext|><|im_start|>system\n{listed}, {{"name": ')
    assert plain([HI], [], None) == "<|startoftext|><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(("think", "old"), [(None, "b"), (False, "b"), (True, "<think>hm</think>a</think>\n\nb ")])
def test_old_thoughts_stay_only_while_thinking(think: bool | None, old: str) -> None:
    turns = [Message("assistant", "a</think>\n\nb ", "hm"), HI, Message("assistant", "c</think>d", "so")]
    assert thinking([*turns, HI], [], think) == (
        f"<|startoftext|><|im_start|>assistant\n{old}<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\n<think>so</think>c</think>d<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_models_without_reasoning_never_keep_thoughts() -> None:
    turns = [Message("assistant", "a</think>b", "hm"), Message("assistant", "c", "hm"), HI]
    assert "hm" not in plain(turns, [], True)
    assert "a</think>" not in plain(turns, [], True)


def test_a_last_answer_is_left_open() -> None:
    assert plain([HI, Message("assistant", "so ")], [], None).endswith("<|im_start|>assistant\nso ")


def test_arguments_are_written_as_in_python() -> None:
    call = ToolCall("f", {"b": ["<", {"k": None}], "a": True, "c": 1e6})
    text = plain([Message("assistant", " ", tool_calls=[call, ToolCall("g")])], [], None)
    assert text.endswith('<|tool_call_start|>[f(a=true,b=["<", {"k": null}],c=1000000),g()]<|tool_call_end|>')


def test_results_are_marked_once() -> None:
    given = "<|tool_response_start|>1<|tool_response_end|>"
    assert plain([Message("tool", given)], [], None).count("<|tool_response_start|>") == 1


def test_pictures_and_later_instructions() -> None:
    turns = [Message("user", "look", images=[b""]), Message("system", "s")]
    assert "<|im_start|>user\n[img-0] look<|im_end|>\n<|im_start|>system\ns<|im_end|>\n" in plain(turns, [], None)
