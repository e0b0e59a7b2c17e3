"""Laguna prompts, in both layouts."""

from collections.abc import Callable

import pytest

from server.messages import Message, Tool, ToolCall
from server.prompt.renderers import RENDERERS
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

laguna = RENDERERS["laguna"]
v8 = RENDERERS["poolside-v1"]
POOLSIDE = (
    "You are a helpful, conversationally-fluent assistant made by Poolside. You are here to be helpful to users "
    "through natural language conversations."
)
LISTED = (
    "### Tools\n\nYou may call functions to assist with the user query.\nAll available function signatures are listed "
    'below:\n<available_tools>\n{"type": "function", "function": {"name": "get_weather", "description": "Get weather", '
    '"parameters": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "description": '
    '"City name"}, "days": {"type": "integer"}}}}}\n</available_tools>'
)
CALL_FORMAT = (
    "For each function call, return an unescaped XML-like object with function name and arguments within '<tool_call>' "
    "and '</tool_call>' tags, like here:\n"
)
EXAMPLE_CALL = (
    "<tool_call>function-name\n<arg_key>argument-key</arg_key>\n<arg_value>value-of-argument-key</arg_value>\n"
    "</tool_call>\n</system>\n"
)
TAIL = (
    "<user>\nWeather in Paris?\n</user>\n<assistant>\n<think>\nNeed tool.\n</think>\nChecking.\n<tool_call>"
    "get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n"
    "</tool_call>\n</assistant>\n<tool_response>\n22C\n</tool_response>\n<assistant>\n</think>"
)
V8_CALL = (
    "Checking.<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>days</arg_key>"
    "<arg_value>2</arg_value></tool_call></assistant>\n<tool_response>22C</tool_response>\n"
)
CALLED = (
    '</think>\n<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>[1, "\\u003c"]</arg_value>\n<arg_key>b</arg_key>\n'
    "<arg_value>true</arg_value>\n<arg_key>c</arg_key>\n<arg_value>null</arg_value>\n<arg_key>d</arg_key>\n"
    "<arg_value>1000000</arg_value>\n</tool_call>\n"
)
HI = [Message("user", "hi")]


def test_a_call_and_its_result() -> None:
    assert laguna(EXAMPLE, [], None) == "〈|EOS|〉<system>\n\nBe brief.\n</system>\n" + TAIL
    assert v8(EXAMPLE, [], None) == (
        f"〈|EOS|〉<system>Be brief.</system>\n<user>Weather in Paris?</user>\n<assistant></think>{V8_CALL}"
        "<assistant></think>"
    )


def test_thinking() -> None:
    assert laguna(HI, [], True).endswith("</user>\n<assistant>\n<think>")
    assert v8(EXAMPLE, [], "low").endswith(f"<assistant><think>Need tool.</think>{V8_CALL}<assistant><think>")
    assert v8([*HI, Message("assistant", "yes")], [], True).endswith(
        "<assistant><think></think>yes</assistant>\n<assistant><think>"
    )


def test_tools_are_described_behind_the_system_text() -> None:
    header = f"〈|EOS|〉<system>\n\nBe brief.\n\n{LISTED}\n\n"
    assert laguna(EXAMPLE, [WEATHER], False) == header + CALL_FORMAT + EXAMPLE_CALL + TAIL
    assert laguna(HI, [WEATHER], True).startswith(
        f"〈|EOS|〉<system>\n\n{POOLSIDE}\n\n{LISTED}\n\nWrap your thinking in '<think>', '</think>' tags, followed by "
        f"a function call. {CALL_FORMAT}<think> your thoughts here </think>\n{EXAMPLE_CALL}<user>\n"
    )
    assert v8(EXAMPLE, [WEATHER], None).startswith(f"〈|EOS|〉<system>Be brief.\n\n{LISTED}</system>\n<user>")


@pytest.mark.parametrize(
    ("render", "tools", "think", "header"),
    [
        (laguna, [], True, ""),
        (laguna, [WEATHER], False, f"<system>\n\n\n{LISTED}\n\n{CALL_FORMAT}{EXAMPLE_CALL}"),
        (v8, [], False, ""),
        (v8, [], True, "<system></system>\n"),
        (v8, [WEATHER], False, f"<system>{LISTED}</system>\n"),
    ],
)
def test_an_empty_system_text(render: Callable[..., str], tools: list[Tool], think: bool, header: str) -> None:
    prompt = render([Message("system", " \n"), *HI], tools, think)
    assert prompt.partition("<user>")[0] == f"〈|EOS|〉{header}"


def test_later_system_texts_stand_in_their_place() -> None:
    turns = [Message("system", "A \n"), *HI, Message("system", " B\n"), Message("critic", "?")]
    assert laguna(turns, [], None) == (
        "〈|EOS|〉<system>\n\nA\n</system>\n<user>\nhi\n</user>\n<system>\n B\n\n</system>\n<assistant>\n</think>"
    )


@pytest.mark.parametrize(
    ("message", "rendered"),
    [
        (Message("assistant", " so \n"), "</think>\nso\n"),
        (Message("assistant", "", " hm "), "<think>\nhm\n</think>\n"),
        (Message("assistant", "<think>\nhm\n</think>\n\nso"), "<think>\nhm\n</think>\nso\n"),
        (Message("assistant", "hm</think>so"), "<think>\nhm\n</think>\nso\n"),
        (Message("assistant", tool_calls=[ToolCall("f", {"a": [1, "<"], "b": True, "c": None, "d": 1e6})]), CALLED),
    ],
)
def test_a_last_answer_is_left_open(message: Message, rendered: str) -> None:
    assert laguna([*HI, message], [], None).endswith(f"</user>\n<assistant>\n{rendered}")
    assert laguna([*HI, message, *HI], [], None).count(f"<assistant>\n{rendered}</assistant>\n<user>") == 1


def test_an_empty_last_answer_is_closed() -> None:
    assert laguna([Message("assistant")], [], None).endswith("<assistant>\n</think>\n</assistant>\n")


def test_nothing_was_said_yet() -> None:
    assert laguna([], [], None).endswith("</system>\n<assistant>\n</think>")
