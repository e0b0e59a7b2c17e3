"""Prompts of Qwen3.5, Ornith and Qwen3.8."""

import pytest

from server.messages import Message, ToolCall
from server.prompt.errors import RendererRefusal
from server.prompt.renderers import RENDERERS
from server.prompt.renderers.qwen3coder import CALL_INSTRUCTIONS
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

qwen35 = RENDERERS["qwen3.5"]
ornith = RENDERERS["ornith"]
qwen38 = RENDERERS["qwen3.8"]
OPEN = "<|im_start|>assistant\n"
THINK = OPEN + "<think>\n"
TAIL = (
    f"{THINK}Need tool.\n</think>\n\nChecking.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n"
    "</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call><|im_end|>\n<|im_start|>user\n"
    f"<tool_response>\n22C\n</tool_response><|im_end|>\n{THINK}"
)
ASKED = "<|im_start|>user\nWeather in Paris?<|im_end|>\n"
SYSTEM = "<|im_start|>system\nBe brief.<|im_end|>\n"
HI = Message("user", "hi")
SAID_HI = "<|im_start|>user\nhi<|im_end|>\n"


@pytest.mark.parametrize("name", ["qwen3.5", "ornith"])
def test_a_call_and_its_result(name: str) -> None:
    assert RENDERERS[name](EXAMPLE, [], None) == SYSTEM + ASKED + TAIL


def test_tools_stand_in_front_of_the_system_text() -> None:
    system = Message("system", " Be brief.\n")
    prompt = qwen35([system, *EXAMPLE[1:]], [WEATHER], None)
    assert prompt.startswith(
        "<|im_start|>system\n# Tools\n\nYou have access to the following functions:\n\n<tools>\n"
        '{"type": "function", "function": {"name": "get_weather", "description": "Get weather", "parameters": {"type": '
        '"object", "required": ["city"], "properties": {"city": {"type": "string", "description": "City name"}, '
        f'"days": {{"type": "integer"}}}}}}}}}}\n</tools>\n\n{CALL_INSTRUCTIONS}\n\nBe brief.<|im_end|>\n'
    )
    assert prompt.endswith(ASKED + TAIL)
    assert f"{CALL_INSTRUCTIONS}<|im_end|>\n" in qwen35([HI], [WEATHER], None)


@pytest.mark.parametrize("name", ["qwen3.5", "ornith", "qwen3.8"])
def test_without_thinking_an_empty_block_is_closed(name: str) -> None:
    assert RENDERERS[name]([HI], [], False) == f"{SAID_HI}{OPEN}<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("content", "thinking", "block", "text"),
    [
        ("A", "old", "old", "A"),
        ("<think>x</think>\n\nA", "", "x", "A"),
        ("a<think>x</think>A", "", "x", "A"),
        ("x</think>A", "old", "old", "x</think>A"),
        ("A", "", "", "A"),
    ],
)
def test_reasoning_before_the_last_question(content: str, thinking: str, block: str, text: str) -> None:
    """Qwen3.5 leaves it out, even where it stands in the text; Ornith writes it."""
    messages = [HI, Message("assistant", content, thinking), HI]
    assert ornith(messages, [], None) == f"{SAID_HI}{THINK}{block}\n</think>\n\n{text}<|im_end|>\n{SAID_HI}{THINK}"
    assert qwen35(messages, [], None) == f"{SAID_HI}{OPEN}A<|im_end|>\n{SAID_HI}{THINK}"


def test_qwen38_takes_text_as_it_stands() -> None:
    messages = [HI, Message("assistant", "<think>x</think>\nA", "old"), Message("critic", "No."), HI]
    assert qwen38(messages, [], True) == (
        f"{SAID_HI}{THINK}old\n</think>\n\n<think>x</think>\nA<|im_end|>\n"
        f"<|im_start|>critic\nNo.<|im_end|>\n{SAID_HI}{THINK}"
    )
    assert "critic" not in qwen35(messages, [], True)


def test_a_last_answer_is_left_open() -> None:
    assert qwen35([HI, Message("assistant", " So \n")], [], None) == f"{SAID_HI}{THINK}\n</think>\n\nSo"
    assert qwen35([HI, Message("assistant", "So")], [], False) == f"{SAID_HI}{OPEN}So"
    calls = [ToolCall("f"), ToolCall("g")]
    assert qwen35([HI, Message("assistant", " ", tool_calls=calls)], [], False).endswith(
        f"{OPEN}<tool_call>\n<function=f>\n</function>\n</tool_call>\n<tool_call>\n<function=g>\n</function>\n</tool_call>"
    )


XHIGH = (
    "Reasoning effort is set to xhigh. Please think carefully through the task, validate key assumptions, consider "
    "plausible alternatives, and prioritize correctness, consistency, and clarity in the final answer."
)
LOW = (
    "Reasoning effort is set to low. Keep your thinking brief and focused, moving directly to the conclusion without "
    "unnecessary elaboration."
)


@pytest.mark.parametrize(
    ("think", "effort"),
    [(None, XHIGH), ("high", XHIGH), ("max", XHIGH), ("low", LOW), ("medium", ""), (True, ""), (False, "")],
)
def test_effort_opens_the_system_block(think: bool | str | None, effort: str) -> None:
    block = f"<|im_start|>system\n{effort}<|im_end|>\n" if effort else ""
    assert qwen38([HI], [], think).startswith(block + SAID_HI)
    assert qwen38([Message("system", " \n"), HI], [], think).startswith(block + SAID_HI)
    behind = f"{effort}\n\nBe brief." if effort else "Be brief."
    asked = [Message("system", "Be brief."), HI]
    assert qwen38(asked, [], think).startswith(f"<|im_start|>system\n{behind}<|im_end|>\n{SAID_HI}")
    before = f"{effort}\n\n# Tools" if effort else "# Tools"
    assert qwen38(asked, [WEATHER], think).startswith(f"<|im_start|>system\n{before}")


def test_instructions_anywhere_become_one_message() -> None:
    messages = [Message("developer", " Use Go. "), HI, Message("system", "\n"), Message("system", "Be brief.")]
    assert qwen38(messages, [], True) == f"<|im_start|>system\nUse Go.\n\nBe brief.<|im_end|>\n{SAID_HI}{THINK}"


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([], "no messages provided"),
        ([Message("system", "S")], "no user query found in messages"),
        ([Message("user", " <tool_response>x</tool_response>\n")], "no user query found in messages"),
        ([HI, Message("system", "S", images=[b"1"])], "system message cannot contain images"),
        ([HI, Message("developer", "S", images=[b"1"])], "developer message cannot contain images"),
    ],
)
def test_what_qwen38_has_no_form_for(messages: list[Message], text: str) -> None:
    with pytest.raises(RendererRefusal) as caught:
        qwen38(messages, [], None)
    assert caught.value.message == text


def test_pictures_are_marked() -> None:
    messages = [Message("user", "Describe.", images=[b"1"]), Message("user", images=[b"2"])]
    assert qwen35(messages, [], True).startswith(
        "<|im_start|>user\n[img-0] Describe.<|im_end|>\n<|im_start|>user\n[img-1]<|im_end|>\n"
    )
