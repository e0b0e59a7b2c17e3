"""Olmo 3 prompts."""

import pytest

from server.messages import Message, ToolCall
from server.prompt.renderers import RENDERERS
from server.prompt.renderers.notation import spaced
from server.prompt.tooljson import tools
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

render = RENDERERS["olmo3"]
HI = Message("user", "hi")
LISTED = f"<functions>{spaced(tools([WEATHER]))}</functions>"
BY_AI2 = (
    "You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December 2024, and your model weights are "
    "available at https://huggingface.co/allenai."
)
NO_TOOLS = " You do not currently have access to any functions. <functions></functions>"


def test_a_call_and_its_result() -> None:
    assert render(EXAMPLE, [WEATHER], None) == (
        '<|im_start|>system\nBe brief.<functions>[{"type": "function", "function": {"name": "get_weather", '
        '"description": "Get weather", "parameters": {"type": "object", "required": ["city"], "properties": '
        '{"city": {"type": "string", "description": "City name"}, "days": {"type": "integer"}}}}}]</functions>'
        "<|im_end|>\n<|im_start|>user\nWeather in Paris?<|im_end|>\n<|im_start|>assistant\nChecking."
        '<function_calls>get_weather(city="Paris", days=2)</function_calls><|im_end|>\n'
        "<|im_start|>environment\n22C<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("name", "introduction"),
    [("olmo3", "You are a helpful function-calling AI assistant."), ("olmo3.1", BY_AI2)],
)
def test_without_a_system_text_the_model_is_introduced(name: str, introduction: str) -> None:
    asked = "<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert RENDERERS[name]([HI], [], None) == f"<|im_start|>system\n{introduction}{NO_TOOLS}{asked}"
    with_tools = RENDERERS[name]([HI], [WEATHER], None)
    assert with_tools.startswith(f"<|im_start|>system\n{introduction} You are provided with function signatures")
    assert with_tools.endswith(f"plug into functions.{LISTED}{asked}")


def test_arguments_are_sorted_and_calls_stand_on_lines() -> None:
    calls = [ToolCall("f", {"b": [1, "<"], "a": None}), ToolCall("g")]
    assert render([HI, Message("assistant", tool_calls=calls)], [], None).endswith(
        'assistant\n<function_calls>f(a=null, b=[1,"\\u003c"])\ng()</function_calls><|im_end|>\n<|im_start|>assistant\n'
    )


def test_a_last_answer_is_left_open_if_it_has_a_text() -> None:
    assert render([HI, Message("assistant", "so")], [], None).endswith("<|im_end|>\n<|im_start|>assistant\nso")


def test_only_the_first_system_text_counts() -> None:
    asked = [HI, Message("system", "A"), Message("developer", "C"), Message("system", "B")]
    assert render(asked, [], None) == (
        "<|im_start|>system\nA<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("name", "introduction"), [("olmo3-think", BY_AI2), ("olmo3-32b-think", "You are a helpful AI assistant.")]
)
def test_thinking_models_know_no_tools(name: str, introduction: str) -> None:
    think = RENDERERS[name]
    assert think([HI], [WEATHER], False) == (
        f"<|im_start|>system\n{introduction}<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>"
    )
    assert think(EXAMPLE, [WEATHER], None) == (
        f"<|im_start|>system\nBe brief.{NO_TOOLS}<|im_end|>\n<|im_start|>user\nWeather in Paris?<|im_end|>\n"
        "<|im_start|>assistant\nChecking.<|im_end|>\n<|im_start|>assistant\n<think>"
    )
