"""Qwen3-Coder prompts."""

import pytest

from server.messages import Message
from server.prompt.renderers import RENDERERS
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

render = RENDERERS["qwen3-coder"]
TAIL = (
    "<|im_start|>user\nWeather in Paris?<|im_end|>\n<|im_start|>assistant\nChecking.\n\n<tool_call>\n"
    "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n"
    "</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n22C\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n"
)


def test_a_call_and_its_result() -> None:
    assert render(EXAMPLE, [], None) == "<|im_start|>system\nBe brief.<|im_end|>\n" + TAIL


def test_tools_are_described_behind_the_system_text() -> None:
    prompt = render(EXAMPLE, [WEATHER], None)
    assert prompt.startswith("<|im_start|>system\nBe brief.\n\n# Tools\n\nYou have access to the following functions:")
    assert (
        "<tools>\n<function>\n<name>get_weather</name>\n<description>Get weather</description>\n<parameters>\n"
        "<parameter>\n<name>city</name>\n<type>string</type>\n<description>City name</description>\n</parameter>\n"
        "<parameter>\n<name>days</name>\n<type>integer</type>\n</parameter>\n"
        '<required>["city"]</required>\n</parameters>\n</function>\n</tools>\n\nIf you choose'
    ) in prompt
    assert prompt.endswith("</IMPORTANT><|im_end|>\n" + TAIL)


def test_with_tools_alone_the_model_is_introduced() -> None:
    assert render([Message("user", "hi")], [WEATHER], None).startswith("<|im_start|>system\nYou are Qwen, a helpful")
    assert render([Message("user", "hi")], [], None) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(("content", "end"), [("so", "<|im_start|>assistant\nso"), ("", "<|im_start|>assistant\n")])
def test_a_last_answer_is_left_open(content: str, end: str) -> None:
    assert render([Message("user", "hi"), Message("assistant", content)], [], None).endswith("<|im_end|>\n" + end)


def test_results_in_a_row_share_a_turn() -> None:
    results = [Message("tool", "1"), Message("tool", "2")]
    assert render(results, [], None) == (
        "<|im_start|>user\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
