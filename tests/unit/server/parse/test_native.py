"""What a model with only a chat template writes, told by the marks in it."""

import pytest

from modelstore.capabilities import TemplateMode
from server.messages import Parameters, Property, Tool
from server.parse import Parsed, native_family, parsers_for

TOOLS = [Tool("function", name="add", parameters=Parameters("object", properties={"a": Property(type=["integer"])}))]
FORMS = {
    "harmony": (
        "<|start|>assistant<|message|><|end|>",
        (
            "<|channel|>final<|message|>so<|end|><|start|>assistant<|channel|>commentary to=functions.add<|message|>"
            '{"a": 1}'
        ),
    ),
    "cohere": (
        "<|START_ACTION|>[]<|END_ACTION|><|START_TEXT|>",
        (
            '<|START_TEXT|>so<|END_TEXT|><|START_ACTION|>[{"tool_call_id": "0", "tool_name": "add", '
            '"parameters": {"a": 1}}]<|END_ACTION|>'
        ),
    ),
    "deepseek3": (
        "<｜tool▁calls▁begin｜><｜tool▁sep｜>",
        'so<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    ),
    "cogito": (
        "<｜tool▁calls▁begin｜>function<｜tool▁sep｜>\n```json",
        (
            "so<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n"
            '```json\n{"a": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
        ),
    ),
    "qwen3-coder": (
        "<tool_call>\n<function={{ name }}>\n<parameter={{ key }}>",
        "so\n<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
    ),
    "glm-4.7": (
        "<tool_call>{{ name }}<arg_key>{{ k }}</arg_key><arg_value>",
        "so<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",
    ),
    "ministral": ("[TOOL_CALLS]{{ name }}[ARGS]", 'so[TOOL_CALLS]add[ARGS]{"a": 1}'),
    "lfm2": ("<|tool_call_start|>[]<|tool_call_end|>", "so<|tool_call_start|>[add(a=1)]<|tool_call_end|>"),
    "functiongemma": (
        "<start_function_call>",
        "so<start_function_call>call:add{a:1}<end_function_call>",
    ),
    "gemma4": ("<|tool_call>call:<tool_call|>", "so<|tool_call>call:add{a:1}<tool_call|>"),
    "": ('<tool_call>{"name"', 'so<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'),
}


def read(template: str, text: str, step: int, prompt: str = "") -> Parsed:
    parser = parsers_for(TemplateMode.JINJA, template, TOOLS, True, prompt)
    pieces = (text[at : at + step] for at in range(0, len(text), step))
    return sum((parser.feed(piece) for piece in pieces), Parsed()) + parser.finish()


@pytest.mark.parametrize("family", FORMS)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_the_marks_of_a_family_call_for_its_parser(family: str, step: int) -> None:
    template, text = FORMS[family]
    assert native_family(template) == family
    parsed = read(template, text, step)
    assert parsed.content.strip() == "so"
    assert [(call.name, call.arguments) for call in parsed.calls] == [("add", {"a": 1})]
    assert len(parsed.calls[0].id) == 32


@pytest.mark.parametrize("family", ["qwen3-coder", "glm-4.7", "deepseek3", "lfm2", ""])
def test_reasoning_in_front_of_it_is_found_too(family: str) -> None:
    template, text = FORMS[family]
    for answer, prompt in ((f"<think>hm</think>{text}", ""), (f"hm</think>{text}", "<think>\n")):
        parsed = read(f"{template}<think></think>", answer, 3, prompt)
        assert parsed.thinking == "hm"
        assert parsed.content.strip() == "so"
        assert len(parsed.calls) == 1
