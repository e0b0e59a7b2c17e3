"""DeepSeek V3.1 prompts."""

import pytest

from server.messages import Message
from server.prompt.renderers import RENDERERS
from tests.unit.server.prompt.renderers.conversations import CALL, EXAMPLE, WEATHER

render = RENDERERS["deepseek3.1"]
BEGIN = "<｜begin▁of▁sentence｜>"
END = "<｜end▁of▁sentence｜>"
TAIL = (
    "<｜User｜>Weather in Paris?<｜Assistant｜></think>Checking.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather"
    '<｜tool▁sep｜>{"city":"Paris","days":2}<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>'
    "<｜tool▁output▁begin｜>22C<｜tool▁output▁end｜>"
)


@pytest.mark.parametrize("think", [None, True])
def test_a_call_and_its_result(think: bool | None) -> None:
    assert render(EXAMPLE, [], think) == f"{BEGIN}Be brief.{TAIL}"


def test_tools_stand_behind_all_system_texts() -> None:
    asked = [Message("system", "A"), Message("user", "hi"), Message("system", "B")]
    assert render(asked, [WEATHER], None) == (
        f"{BEGIN}A\n\nB\n\n## Tools\nYou have access to the following tools:\n\n### get_weather\n"
        'Description: Get weather\n\nParameters: {"type":"object","required":["city"],"properties":'
        '{"city":{"type":"string","description":"City name"},"days":{"type":"integer"}}}\n\n'
        "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
        "tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>{{additional_tool_calls}}"
        "<｜tool▁calls▁end｜>\n\nWhere:\n\n- `tool_call_name` must be an exact match to one of the available tools\n"
        "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
        "- For multiple tool calls, chain them directly without separators or spaces\n"
        "<｜User｜>hi<｜Assistant｜></think>"
    )


@pytest.mark.parametrize(("think", "opening"), [(None, "</think>"), (False, "</think>"), ("low", "<think>")])
def test_a_question_opens_an_answer(think: bool | str | None, opening: str) -> None:
    assert render([Message("user", "hi")], [], think) == f"{BEGIN}<｜User｜>hi<｜Assistant｜>{opening}"


def test_reasoning_is_left_out() -> None:
    answer = Message("assistant", "<think>hm</think>Yo</think>!", "hm")
    question = Message("user", "hi")
    old, last = f"</think>Yo</think>!{END}", f"<think>Yo</think>!{END}"
    assert render([question, answer], [], None).endswith(f"<｜Assistant｜>{old}")
    assert render([question, answer], [], True).endswith(f"<｜Assistant｜>{last}")
    assert f"<｜Assistant｜>{old}" in render([question, answer, question], [], True)


def test_behind_a_result_text_is_written_as_it_is() -> None:
    calls = Message("assistant", "a</think>b", "hm", tool_calls=[CALL])
    prompt = render([calls, Message("tool", "1"), Message("assistant", "c</think>d")], [], True)
    assert prompt.startswith(f"{BEGIN}a</think>b<｜tool▁calls▁begin｜>")
    assert prompt.endswith(f"<｜tool▁output▁end｜>c</think>d{END}")
