"""Gemma 4 prompts."""

from dataclasses import replace
from typing import Any

import pytest

from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.prompt.renderers import RENDERERS
from server.prompt.renderers.gemma4 import resolve
from tests.unit.server.prompt.renderers.conversations import CALL, EXAMPLE, WEATHER

render = RENDERERS["gemma4-small"]
large = RENDERERS["gemma4-large"]
DECLARED = (
    '<|tool>declaration:get_weather{description:<|"|>Get weather<|"|>,parameters:{properties:{city:{description:<|"|>'
    'City name<|"|>,type:<|"|>STRING<|"|>},days:{type:<|"|>INTEGER<|"|>}},required:[<|"|>city<|"|>],type:<|"|>OBJECT'
    '<|"|>}}<tool|>'
)
ASKED = "<|turn>user\nWeather in Paris?<turn|>\n<|turn>model\n<|channel>thought\nNeed tool.\n<channel|>"
CALLED = '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:2}<tool_call|>'
ANSWERED = '<|tool_response>response:get_weather{value:<|"|>22C<|"|>}<tool_response|>'
HI = Message("user", "hi")


def said(messages: list[Message]) -> str:
    """The prompt behind what all begin with."""
    return render(messages, [], None).removeprefix("<bos>")


def test_a_call_and_its_result() -> None:
    assert render(EXAMPLE, [WEATHER], None) == (
        f"<bos><|turn>system\nBe brief.{DECLARED}<turn|>\n{ASKED}{CALLED}{ANSWERED}Checking.<turn|>\n"
    )


def test_a_call_without_text_ends_at_its_result() -> None:
    asked = [*EXAMPLE[:2], replace(EXAMPLE[2], content=" "), EXAMPLE[3]]
    assert render(asked, [], None).endswith(CALLED + ANSWERED)
    assert render(asked, [], True).endswith(CALLED + ANSWERED + "<|channel>thought\n")


def test_a_call_waits_for_its_result() -> None:
    assert render(EXAMPLE[:3], [], None).endswith(CALLED + "Checking.<|tool_response>")


def test_what_ends_a_prompt() -> None:
    assert render([HI], [], None) == "<bos><|turn>user\nhi<turn|>\n<|turn>model\n"
    assert large([HI], [], None).endswith("<|turn>model\n<|channel>thought\n<channel|>")
    assert render([HI], [], "low") == "<bos><|turn>system\n<|think|>\n<turn|>\n<|turn>user\nhi<turn|>\n<|turn>model\n"
    assert large([HI], [], True) == render([HI], [], True)


def test_a_last_answer_is_not_continued() -> None:
    assert said([HI, Message("assistant", "so ")]).endswith("<|turn>model\nso<turn|>\n<|turn>model\n")


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_lead(role: str) -> None:
    assert said([Message(role, " Be brief.\n"), HI]).startswith("<|turn>system\nBe brief.<turn|>\n<|turn>user\nhi<")
    assert said([HI, Message(role, "later")]).endswith(f"hi<turn|>\n<|turn>{role}\nlater<turn|>\n<|turn>model\n")


def test_answers_in_a_row_share_a_turn() -> None:
    again = [*EXAMPLE[1:3], replace(EXAMPLE[3], tool_call_id="", tool_name=""), Message("assistant", "<|channel>a b")]
    assert said(again) == (
        f"{ASKED}{CALLED}{ANSWERED.replace('get_weather', 'unknown')}Checking.<|channel>a b<turn|>\n<|turn>model\n"
    )


def test_thoughts_before_the_last_question_are_forgotten() -> None:
    old = Message("assistant", "a<|channel>b\nc<channel|>d ", "thought")
    assert said([HI, old, HI]).startswith("<|turn>user\nhi<turn|>\n<|turn>model\nad<turn|>\n<|turn>user")


def test_results_find_their_calls_by_id() -> None:
    calls = [ToolCall("a", {}, "1"), ToolCall("b", {}, "2")]
    results = [Message("tool", "x", tool_call_id="2"), Message("tool", "y", tool_call_id="1", tool_name="z")]
    assert said([Message("assistant", "", tool_calls=calls), *results]) == (
        "<|turn>model\n<|tool_call>call:a{}<tool_call|><|tool_call>call:b{}<tool_call|>"
        '<|tool_response>response:b{value:<|"|>x<|"|>}<tool_response|>'
        '<|tool_response>response:a{value:<|"|>y<|"|>}<tool_response|>'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (1000000, "1000000"), (1.5, "1.5"), (1e-7, "0.0000001"),
        (1234567.125, "1234567.125"),
        ('a "b"', '<|"|>a "b"<|"|>'), ([1, "a"], '[1,<|"|>a<|"|>]'), ({"b": 1, "a": {}}, "{a:{},b:1}"), ([], "[]"),
    ],
)  # fmt: skip
def test_arguments(value: Any, text: str) -> None:
    call = Message("assistant", tool_calls=[ToolCall("f", {"z": value, "a": 0})])
    assert f"call:f{{a:0,z:{text}}}<tool_call|>" in said([call])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Property(type=["string"], enum=["a", "b"]), '{enum:[<|"|>a<|"|>,<|"|>b<|"|>],type:<|"|>STRING<|"|>}'),
        (Property(type=["integer"], enum=[1]), '{type:<|"|>INTEGER<|"|>}'),
        (Property(type=["string", "null"], enum=["a"]), """{type:<|"|>['STRING', 'NULL']<|"|>}"""),
        (Property(any_of=[Property(type=["string"]), Property(type=["null"])]),
         """{type:<|"|>['STRING', 'NULL']<|"|>}"""),
        (Property(any_of=[Property(type=["string"]), Property(description="x")]), "{}"),
        (Property(type=["object"]), '{properties:{},type:<|"|>OBJECT<|"|>}'),
        (Property(type=["object"], properties={"type": Property(), "a": Property()}, required=["a"]),
         '{properties:{a:{}},required:[<|"|>a<|"|>],type:<|"|>OBJECT<|"|>}'),
        (Property(type=["array"]), '{type:<|"|>ARRAY<|"|>}'),
        (Property(type=["array"], items={"type": ["string", "null"], "enum": ["a"], "x": {"y": 1}, "z": None}),
         '{items:{enum:[<|"|>a<|"|>],type:[<|"|>STRING<|"|>,<|"|>NULL<|"|>],x:{<|"|>y<|"|>:1}},type:<|"|>ARRAY<|"|>}'),
        (Property(type=["array"], items={"type": "object", "required": ["b"], "properties": {
            "b": {"type": ["a", "b"]}, "c": {"type": "integer", "nullable": True}}}),
         ('{items:{properties:{b:{type:[<|"|>A<|"|>,<|"|>B<|"|>]},c:{nullable:true,type:<|"|>INTEGER<|"|>}},'
          'required:[<|"|>b<|"|>],type:<|"|>OBJECT<|"|>},type:<|"|>ARRAY<|"|>}')),
        (Property(type=["array"], items={"properties": 1, "required": "x", "type": 5}),
         '{items:{properties:{}},type:<|"|>ARRAY<|"|>}'),
    ],
)  # fmt: skip
def test_properties(given: Property, text: str) -> None:
    tool = Tool(name="f", parameters=Parameters(properties={"p": given}))
    assert f'f{{description:<|"|><|"|>,parameters:{{properties:{{p:{text}}}}}}}<tool|>' in render([], [tool], None)


def test_a_tool_without_parameters() -> None:
    assert 'declaration:f{description:<|"|><|"|>}<tool|>' in render([], [Tool(name="f")], None)


def test_pictures() -> None:
    asked = Message("user", "\n look [img] and", images=[b"", b""])
    assert "<|turn>user\n[img-1] look [img-0] and<turn|>" in said([asked])


def test_a_result_without_a_call_is_left_out() -> None:
    assert said([HI, Message("tool", "22C")]) == "<|turn>user\nhi<turn|>\n<|turn>model\n"


@pytest.mark.parametrize(
    ("names", "size", "renderer"),
    [
        (("gemma4:e4b", ""), "25.2B", "gemma4-small"), (("gemma4:31B", ""), "4B", "gemma4-large"),
        (("mine", "registry/x/gemma-4-26b-a4b:latest"), "", "gemma4-large"), (("mine", "x"), "25.2B", "gemma4-large"),
        (("mine", "x"), "12B", "gemma4-large"), (("mine", "x"), "7.9B", "gemma4-small"),
        (("x", "x"), "900M", "gemma4-small"),
        (("x", "x"), "20000M", "gemma4-large"), (("x", "x"), "", "gemma4-small"), (("x", "x"), "large", "gemma4-small"),
    ],
)  # fmt: skip
def test_the_size_decides_what_gemma4_means(names: tuple[str, str], size: str, renderer: str) -> None:
    assert resolve("gemma4", *names, size) == renderer


def test_other_names_stay() -> None:
    assert resolve("gemma4-small", "gemma4:31b", "", "31B") == "gemma4-small"
    assert RENDERERS["gemma4"]([CALLING], [], None) == render([CALLING], [], None)


CALLING = Message("assistant", tool_calls=[CALL])
