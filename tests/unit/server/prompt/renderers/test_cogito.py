"""Cogito prompts."""

import pytest

from server.messages import Message, Tool
from server.prompt.renderers import RENDERERS
from server.prompt.renderers.notation import indented
from tests.unit.server.prompt.renderers.conversations import CALL, EXAMPLE, WEATHER

render = RENDERERS["cogito"]
INTRODUCTION = (
    "You are Cogito, an AI assistant created by Deep Cogito, which is an AI research lab based in San Francisco."
)
TAIL = (
    "<｜User｜>Weather in Paris?<｜Assistant｜>Checking.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
    '<｜tool▁sep｜>get_weather\n```json\n{"city":"Paris","days":2}\n```<｜tool▁call▁end｜>'
    "<｜tool▁calls▁end｜><｜end▁of▁sentence｜>"
    "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>22C<｜tool▁output▁end｜><｜tool▁outputs▁end｜><｜Assistant｜>"
)


def test_a_call_and_its_result() -> None:
    assert render(EXAMPLE, [], None) == f"<｜begin▁of▁sentence｜>{INTRODUCTION}\n\nBe brief.{TAIL}"


@pytest.mark.parametrize("think", [True, "high"])
def test_reasoning_is_asked_for_in_front_and_opened_at_the_end(think: bool | str) -> None:
    assert render(EXAMPLE, [], think) == (
        "<｜begin▁of▁sentence｜>Enable deep thinking subroutine.\n\n"
        f"{INTRODUCTION}\n\nBe brief.\n\n{TAIL}<think>\n"
    )  # fmt: skip


def test_tools_stand_in_fences() -> None:
    bare = Tool(type="function", name="f")
    assert render([Message("user", "hi")], [WEATHER, bare], False) == (
        f"<｜begin▁of▁sentence｜>{INTRODUCTION}\nYou have the following functions available:\n"
        '```json\n{\n    "type": "function",\n    "function": {\n        "name": "get_weather",\n'
        '        "description": "Get weather",\n        "parameters": {\n            "type": "object",\n'
        '            "required": [\n                "city"\n            ],\n            "properties": {\n'
        '                "city": {\n                    "type": "string",\n'
        '                    "description": "City name"\n                },\n'
        '                "days": {\n                    "type": "integer"\n                }\n'
        "            }\n        }\n    }\n}\n```\n"
        '```json\n{\n    "type": "function",\n    "function": {\n        "name": "f",\n        "parameters": {\n'
        '            "type": "",\n            "properties": null\n        }\n    }\n}\n```\n'
        "<｜User｜>hi<｜Assistant｜>"
    )


def test_neighbours_are_joined_and_an_answer_is_closed() -> None:
    calls = Message("assistant", tool_calls=[CALL, CALL])
    results = [Message("tool", "1"), Message("tool", "2")]
    prompt = render([calls, *results, Message("system", "no"), Message("assistant", "so")], [], None)
    assert prompt.count("<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>") == 1
    assert prompt.endswith(
        "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>1<｜tool▁output▁end｜>\n"
        "<｜tool▁output▁begin｜>2<｜tool▁output▁end｜><｜tool▁outputs▁end｜>so<｜end▁of▁sentence｜><｜Assistant｜>"
    )


def test_empty_brackets_stay_on_a_line() -> None:
    assert indented({"a": [], "b": {}, "<": [1.0, "<"]}) == (
        '{\n    "a": [],\n    "b": {},\n    "\\u003c": [\n        1,\n        "\\u003c"\n    ]\n}'
    )
