"""Muse Glimmer prompts."""

import datetime

import pytest

from server.messages import Message, Tool, ToolCall
from server.prompt.renderers import RENDERERS, glimmer
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

render = RENDERERS["glimmer"]
NOBODY = '# Valid recipients: "self", "user".<|eot|>'
TAIL = (
    "<|start|>user<|message|>Weather in Paris?<|eot|><|start|>assistant to=self<|message|>Need tool.<|eom|>"
    "<|start|>assistant to=get_weather<|message|><atem:function_calls>\n"
    '<atem:invoke name="get_weather">\n<atem:parameter name="city">Paris</atem:parameter>\n'
    '<atem:parameter name="days">2</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eot|>'
    '<|start|>tool get_weather<|message|><tool_output name="get_weather">\n22C\n</tool_output><|eot|>'
    "<|start|>assistant"
)
SYSTEM = [Message("system", "Be brief.")]
BEGINNING = f"<|begin_of_text|><|start|>system<|message|>Be brief.\n\nReasoning strength: high.\n\n{NOBODY}"


def test_a_call_and_its_result() -> None:
    assert render(EXAMPLE, [], None) == BEGINNING + TAIL


def test_tools_are_described_behind_the_system_text() -> None:
    prompt = render(EXAMPLE, [WEATHER], None)
    assert prompt.startswith(
        "<|begin_of_text|><|start|>system<|message|>Be brief.\n\nReasoning strength: high.\n\nIn this environment you "
        "have access to a set of tools you can use to answer the user's question.\n\nYou can invoke a function by "
        'writing a "<atem:function_calls>" block like the following:\n<atem:function_calls>\n'
    )
    assert (
        "Note that spaces for string values are not stripped. The output is not expected to be valid XML and is parsed "
        "with regular expressions.\nHere are the functions available in JSONSchema format:\n// Tool metadata\n"
        '{"name": "get_weather", "description": ""}\n// Function schemas\n{"name": "get_weather", "description": "Get '
        'weather", "parameters": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string", '
        '"description": "City name"}, "days": {"type": "integer"}}}}\n\nHere\'s an example of how to call a function '
        "in the tool set:\n(If the tool namespace is not specified"
    ) in prompt
    assert prompt.endswith(
        '"multiple" lines\n</atem:parameter>\n</atem:invoke>\n</atem:function_calls>\n\n'
        f'# Valid recipients: "self", "get_weather.*", "user".<|eot|>{TAIL}'
    )


def test_tools_of_one_namespace_are_one_recipient() -> None:
    prompt = render(SYSTEM, [Tool(name="math.add"), Tool(name="math.sub", description="<"), Tool(name="x")], None)
    assert '"self", "math.*", "x.*", "user".' in prompt
    nothing = '{"type": "", "properties": null}'
    assert (
        '// Tool metadata\n{"name": "math", "description": ""}\n{"name": "x", "description": ""}\n// Function schemas\n'
        f'{{"name": "math.add", "description": "", "parameters": {nothing}}}\n'
        f'{{"name": "math.sub", "description": "<", "parameters": {nothing}}}\n'
        f'{{"name": "x", "description": "", "parameters": {nothing}}}\n\nHere\'s'
    ) in prompt


def test_without_a_system_text_the_model_is_told_the_date() -> None:
    day = datetime.date(2026, 2, 3)
    assert glimmer.render([Message("user", "hi")], [], "low", today=lambda: day) == (
        "<|begin_of_text|><|start|>system<|message|>You are a helpful AI assistant.\nKnowledge cutoff: 2026-01-04.\n"
        f"Current date: 2026-02-03.\n\nReasoning strength: low.\n\n{NOBODY}"
        "<|start|>user<|message|>hi<|eot|><|start|>assistant"
    )


@pytest.mark.parametrize(
    ("text", "think", "instructions"),
    [
        ("Be brief.", True, "Be brief.\n\nReasoning strength: high."),
        ("Be brief.", False, "Be brief.\n\nReasoning strength: none."),
        ("Be brief.", "max", "Be brief.\n\nReasoning strength: max."),
        ("Reasoning effort: low", True, "Reasoning strength: low"),
        ("reasoning effort, Reasoning Effort, REASONING EFFORT", None,
         "reasoning strength, Reasoning Strength, REASONING STRENGTH"),
        ("rEASONING sTRENGTH of none", None, "rEASONING sTRENGTH of none"),
        ("reasoning EFFORT", None, "reasoning EFFORT\n\nReasoning strength: high."),
    ],
)  # fmt: skip
def test_strength(text: str, think: bool | str | None, instructions: str) -> None:
    prompt = render([Message("system", text)], [], think)
    assert prompt == f"<|begin_of_text|><|start|>system<|message|>{instructions}\n\n{NOBODY}<|start|>assistant"


def test_calls_are_messages_of_their_own() -> None:
    calls = [ToolCall("f", {"a": None, "b": ["<", {"y": 1, "x": 2}], "c": True, "d": 1.5}, "1"), ToolCall("g", {}, "2")]
    turns = [
        *SYSTEM,
        Message("assistant", "dropped", tool_calls=calls),
        Message("tool", "g", tool_call_id="2"),
        Message("tool", "?", tool_call_id="3"),
        Message("assistant", tool_calls=calls[1:]),
        Message("assistant", "", "hm"),
        Message("assistant"),
        Message("assistant", "so"),
    ]
    assert render(turns, [], None) == (
        BEGINNING + '<|start|>assistant to=f<|message|><atem:function_calls>\n<atem:invoke name="f">\n'
        '<atem:parameter name="a">null</atem:parameter>\n<atem:parameter name="b">["<", {"x": 2, "y": 1}]'
        '</atem:parameter>\n<atem:parameter name="c">true</atem:parameter>\n<atem:parameter name="d">1.5'
        "</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eom|>"
        '<|start|>assistant to=g<|message|><atem:function_calls>\n<atem:invoke name="g">\n</atem:invoke>\n'
        "</atem:function_calls><|eot|>"
        '<|start|>tool g<|message|><tool_output name="g">\ng\n</tool_output><|eot|>'
        '<|start|>tool 3<|message|><tool_output name="3">\n?\n</tool_output><|eot|>'
        '<|start|>assistant to=g<|message|><atem:function_calls>\n<atem:invoke name="g">\n</atem:invoke>\n'
        "</atem:function_calls><|eom|>"
        "<|start|>assistant to=self<|message|>hm<|eom|>"
        "<|start|>assistant to=user<|message|><|eot|>"
        "<|start|>assistant to=user<|message|>so<|eot|><|start|>assistant"
    )


def test_pictures_have_marks() -> None:
    assert "user<|message|>[img-0] hi<|eot|>" in render([*SYSTEM, Message("user", "hi", images=[b""])], [], None)
