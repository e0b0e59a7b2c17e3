"""Nemotron 3 prompts."""

from collections.abc import Sequence

import pytest

from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.prompt.renderers import RENDERERS
from server.prompt.renderers.qwen3coder import CALL_INSTRUCTIONS
from tests.unit.server.prompt.renderers.conversations import CALL, EXAMPLE, WEATHER

render = RENDERERS["nemotron-3-nano"]
render_3_5 = RENDERERS["nemotron-3.5-nano"]
HI = Message("user", "hi")
TAIL = (
    "Checking.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n"
    "</parameter>\n</function>\n</tool_call>\n<|im_end|>\n<|im_start|>user\n<tool_response>\n22C\n</tool_response>\n"
    "<|im_end|>\n<|im_start|>assistant\n"
)
HEAD = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWeather in Paris?<|im_end|>\n<|im_start|>assistant\n"


def turn(prompt: str, number: int) -> str:
    return prompt.split("<|im_start|>")[number].removesuffix("<|im_end|>\n")


def test_a_call_and_its_result() -> None:
    assert render(EXAMPLE, [], None) == f"{HEAD}<think>\nNeed tool.\n</think>\n{TAIL}<think>\n"
    assert render_3_5(EXAMPLE, [], False) == f"{HEAD}<think>\nNeed tool.</think>{TAIL}<think></think>"


def test_tools() -> None:
    given = Tool(
        name="f",
        description=" so \n",
        parameters=Parameters(
            defs={"b": {"z": None, "a": "<&"}},
            properties={
                "p": Property(type=["string", "null"], description=" x ", enum=["ü", 1, True], required=["q"]),
                "q": Property(
                    any_of=[Property(type=["array"], items={"type": "string"}, description="d")],
                    properties={"z": Property(type=["a", "b"]), "a": Property()},
                ),
            },
        ),
    )
    assert turn(render([HI], [given, WEATHER], None), 1) == (
        "system\n# Tools\n\nYou have access to the following functions:\n\n<tools>\n<function>\n<name>f</name>\n"
        "<description>so</description>\n<parameters>\n<parameter>\n<name>p</name>\n<type>['string', 'null']</type>\n"
        '<description>x</description>\n<enum>["ü", 1, true]</enum>\n<required>["q"]</required>\n</parameter>\n'
        "<parameter>\n<name>q</name>\n"
        '<anyOf>[{"type": "array", "items": {"type": "string"}, "description": "d"}]</anyOf>\n'
        '<properties>{"z": {"type": ["a", "b"]}, "a": {}}</properties>\n</parameter>\n'
        '<$defs>{"b": {"a": "<&", "z": null}}</$defs>\n</parameters>\n</function>\n'
        "<function>\n<name>get_weather</name>\n<description>Get weather</description>\n<parameters>\n"
        "<parameter>\n<name>city</name>\n<type>string</type>\n<description>City name</description>\n</parameter>\n"
        '<parameter>\n<name>days</name>\n<type>integer</type>\n</parameter>\n<required>["city"]</required>\n'
        f"</parameters>\n</function>\n</tools>\n\n{CALL_INSTRUCTIONS}"
    )
    assert turn(render([Message("system", "S"), HI], [WEATHER], None), 1).startswith("system\nS\n\n# Tools\n\n")


def test_values_look_as_in_python() -> None:
    given = {"a": None, "b": True, "c": False, "d": {"z": "<", "a": [1, None]}, "e": "x\ny", "f": 2.5, "g": 3.0}
    prompt = render([HI, Message("assistant", tool_calls=[ToolCall("f", given)])], [], None)
    assert turn(prompt, 3) == (
        "assistant\n<think></think>\n<tool_call>\n<function=f>\n<parameter=a>\nNone\n</parameter>\n"
        "<parameter=b>\nTrue\n</parameter>\n<parameter=c>\nFalse\n</parameter>\n"
        '<parameter=d>\n{"a": [1, null], "z": "<"}\n</parameter>\n<parameter=e>\nx\ny\n</parameter>\n'
        "<parameter=f>\n2.5\n</parameter>\n<parameter=g>\n3\n</parameter>\n</function>\n</tool_call>\n"
    )


@pytest.mark.parametrize(
    ("texts", "think", "opening"),
    [
        (["hi"], None, "<think>\n"), (["hi"], False, "<think></think>"), (["hi"], "low", "<think>\n"),
        (["hi /no_think"], None, "<think></think>"), (["hi /no_think"], True, "<think></think>"),
        (["a /no_think", "b /think"], None, "<think>\n"), (["a /think", "b /no_think"], None, "<think></think>"),
        (["/think"], False, "<think>\n"), (["a </think>"], False, "<think></think>"),
        (["/think /no_think"], False, "<think>\n"),
    ],
)  # fmt: skip
def test_switches(texts: Sequence[str], think: bool | str | None, opening: str) -> None:
    asked = [Message("user", text) for text in texts]
    prompt = render(asked, [], think)
    assert prompt.endswith(f"<|im_start|>assistant\n{opening}")
    assert "/no_think" not in prompt
    assert "/think" not in prompt.replace("</think>", "")
    unswitched = render_3_5(asked, [], think)
    assert unswitched.endswith("assistant\n" + ("<think></think>" if think is False else "<think>\n"))
    assert turn(unswitched, 2) == f"user\n{texts[0]}"


def test_turns_lose_the_blanks_around_but_the_leading_text_does_not() -> None:
    asked = [Message("system", " A /think"), Message("system", " B "), Message("user", "\nC</think> "), HI]
    assert render(asked, [], None).startswith(
        "<|im_start|>system\n A <|im_end|>\n<|im_start|>system\nB<|im_end|>\n<|im_start|>user\nC</think><|im_end|>\n"
    )
    assert render_3_5(asked, [], None).startswith(
        "<|im_start|>system\n A /think<|im_end|>\n<|im_start|>system\n B <|im_end|>\n"
        "<|im_start|>user\n\nC</think> <|im_end|>\n"
    )


@pytest.mark.parametrize(
    ("content", "thinking", "last", "old", "old_with_calls"),
    [
        (" so ", "", "<think></think> so", "<think></think> so", "<think></think>so"),
        (" so ", "hm", "<think>\nhm\n</think>\n so", "<think></think>\n so", "<think></think>so"),
        ("<think>a</think> b", "", "<think>a</think> b", "<think></think> b", "<think></think>b"),
        ("a</think> b", "", "a</think> b", "a</think> b", "<think></think>b"),
        ("a <think>b", "", "a <think>b", "a <think>b", "<think></think>a"),
    ],
)
def test_old_answers_lose_their_reasoning(
    content: str, thinking: str, last: str, old: str, old_with_calls: str
) -> None:
    answer = Message("assistant", content, thinking)
    called = Message("assistant", content, thinking, tool_calls=[CALL])
    assert turn(render([HI, answer], [], None), 3) == f"assistant\n{last}"
    assert turn(render([HI, answer, HI], [], None), 3) == f"assistant\n{old}"
    assert turn(render([HI, called], [], None), 3).startswith(f"assistant\n{last}\n<tool_call>")
    assert turn(render([HI, called, HI], [], None), 3).startswith(f"assistant\n{old_with_calls}\n<tool_call>")


def test_results_in_a_row_share_a_turn() -> None:
    results = [Message("tool", "1"), Message("tool", "2")]
    prompt = render([HI, *results], [], None)
    shared = "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>\n"
    assert turn(prompt, 3) == f"user\n{shared}"
    assert render(results, [], None).startswith(f"<|im_start|>system\n<|im_end|>\n{shared}<|im_end|>\n")


def test_less_effort() -> None:
    asked = [HI, Message("assistant", "so"), HI, Message("tool", "1")]
    prompt = render_3_5(asked, [], "medium")
    assert turn(prompt, 4) == "user\nhi\n\n{reasoning effort: efficient}"
    assert prompt.count("effort") == 1
    assert "effort" not in render_3_5(asked, [], "high") + render(asked, [], "medium")


def test_pictures_are_marked() -> None:
    asked = [Message("user", "hi", images=[b""]), Message("tool", "[img]", images=[b""])]
    prompt = render(asked, [], None)
    assert turn(prompt, 2) == "user\n[img-0] hi"
    assert "<tool_response>\n[img-1]\n" in prompt
