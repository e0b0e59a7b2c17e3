"""The GGUF's own template: what it is given, how messages are shaped for it, and what it may not do."""

from typing import Any

import pytest

from server.messages import Message, Parameters, Tool, ToolCall
from server.prompt import JinjaPrompt, PrefillConflict, TemplateRefusal

EACH = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)
QUESTION = [Message("user", "Q")]


def render(text: str, messages: list[Message] = QUESTION, **kwargs: Any) -> str:
    return JinjaPrompt(text, "<s>", "</s>").render(messages, **kwargs)


# -- what a template sees ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("{{ {'b': '<é>', 'a': [1, none, 1.5]} | tojson }}", '{"b": "<é>", "a": [1, null, 1.5]}'),
        ("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'),
        ("{{ {'a': [1, 2]} | tojson(separators=(',', ':')) }}", '{"a":[1,2]}'),
        ("{{ bos_token }}{{ eos_token }}x", "</s>x"),
        ("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}", "TrueTrueTrue"),
        ("{{ enable_thinking is defined }}{{ reasoning_effort is defined }}", "FalseFalse"),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}{{ 'a' ~ 1 ~ messages[0].content }}{% endgeneration %}", "a1Q"),
        ("{{ messages[7].content.more }}|{{ nothing.at.all }}", "|"),
        ("{{ ['a', 'b'] | join('-') }}{{ messages | map(attribute='role') | join }}", "a-buser"),
        ("{{ 'a b' | replace(' ', '') | indent(2, true) }}{{ '  x ' | trim }}", "  abx"),
        ("{%- if true %}\n    a\n{% endif %}\nb", "    a\nb"),
        ("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(1) }}{{ 'x'.upper() }}{{ '{:>3}'.format(1) }}", "[1]X  1"),
    ],
)
def test_output(text: str, output: str) -> None:
    assert render(text) == output


def test_thinking_is_a_switch_and_a_level() -> None:
    text = "{{ enable_thinking }} {{ reasoning_effort }}"
    assert [render(text, think=think) for think in (True, False, "high")] == ["True ", "False ", "True high"]


def test_a_begin_token_in_front_goes_where_the_tokenizer_adds_one() -> None:
    text = "{{ bos_token }}a{{ bos_token }}"
    assert render(text) == "a<s>"
    assert JinjaPrompt(text, "<s>", "", add_bos=False).render(QUESTION) == "<s>a<s>"


def test_past_thinking_is_reasoning_content() -> None:
    text = "{% for m in messages %}{{ m.reasoning_content }}{{ m.content }}{% endfor %}"
    assert render(text, [Message("assistant", "A", thinking="T"), *QUESTION]) == "TAQ"


def test_past_thinking_is_thinking_where_a_template_calls_it_so() -> None:
    """And stands in place of what was said along with a call, as the reference's engine has it."""
    text = "{% for m in messages %}[{{ m.thinking }}|{{ m.content }}]{% endfor %}{# tool #}"
    call = Message("assistant", "said", thinking="T", tool_calls=[ToolCall("f", {})])
    assert render(text, [Message("assistant", "A", thinking="T"), call, *QUESTION]) == "[T|A][T|][|Q]"


# -- shapes -----------------------------------------------------------------------------------------------------------


def test_a_last_answer_is_continued() -> None:
    text = EACH + "{% if add_generation_prompt %}<assistant>{% endif %}"
    assert render(text, [*QUESTION, Message("assistant", "It is")]) == "<user>Q<assistant>It is"


@pytest.mark.parametrize(
    ("messages", "think", "message"),
    [
        ([Message("assistant", "a"), Message("assistant", "b")], None, "2 or more assistant"),
        ([Message("assistant", "a")], True, "incompatible with enable_thinking"),
    ],
)
def test_some_answers_cannot_be_continued(messages: list[Message], think: bool | None, message: str) -> None:
    with pytest.raises(PrefillConflict, match=message):
        render(EACH, messages, think=think)


def test_a_system_text_goes_into_the_question_where_none_is_taken() -> None:
    messages = [
        Message("system", "S"),
        *QUESTION,
        Message("system", "L"),
        Message("assistant", "A"),
        Message("user", "R"),
    ]
    assert render(NO_SYSTEM, messages) == "<user>S\nQ<user>L<assistant>A<user>R"
    assert render(EACH, messages[:2]) == "<system>S<user>Q"


def test_contents_are_parts_where_a_template_wants_them() -> None:
    text = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"
    assert render(text) == "Q"


def test_a_developer_is_the_system_unless_the_template_knows_better() -> None:
    messages = [Message("developer", "D"), *QUESTION]
    assert render(EACH, messages) == "<system>D<user>Q"
    assert render(EACH + "{# developer #}", messages) == "<developer>D<user>Q"


CALL = [*QUESTION, Message("assistant", "", tool_calls=[ToolCall("f", {"b": 2.0, "a": {"z": 1, "y": "é"}}, "i1")])]


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("c.function.arguments | tojson", '{"b": 2, "a": {"y": "é", "z": 1}}'),
        ("c.function.arguments", '{"b": 2, "a": {"y": "é", "z": 1}}'),
        ("c.function.arguments + ''", '{"b": 2, "a": {"y": "é", "z": 1}}'),
        ("c.function.arguments.a.y ~ c.id ~ c.type", "éi1function"),
    ],
)
def test_arguments_come_as_the_template_wants_them(shown: str, output: str) -> None:
    """As objects, or as JSON text where an object would be printed in Python's way or not at all."""
    text = "{% for m in messages %}{% for c in m.tool_calls %}{{ " + shown + " }}{% endfor %}{% endfor %}"
    assert render(text, [*CALL, Message("user", "and")]) == output


def test_calls_are_told_in_words_to_a_template_without_tools() -> None:
    prompt = render(EACH, [*CALL, Message("tool", "22", tool_name="f"), Message("user", "and")])
    assert '"name": "f"' in prompt
    assert '<user>{\n  "tool_response": {\n    "tool": "f",\n    "content": "22"\n  }\n}' in prompt


def test_tools_are_json_in_the_order_sent() -> None:
    tool = Tool("function", name="f", parameters=Parameters("object", properties={}, defs={"b": 1, "a": 1}))
    text = "{{ tools | tojson }}"
    assert render(text, tools=[tool]) == (
        '[{"type": "function", "function": {"name": "f", "parameters": '
        '{"type": "object", "$defs": {"a": 1, "b": 1}, "properties": {}}}}]'
    )


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_template_may_refuse() -> None:
    with pytest.raises(TemplateRefusal) as caught:
        render("{{ raise_exception('roles must alternate') }}")
    assert caught.value.detail == "roles must alternate"
    assert (
        caught.value.message == '{"error":{"code":400,"message":"roles must alternate","type":"invalid_request_error"}}'
    )


def test_a_compiled_template_is_kept() -> None:
    first, second = JinjaPrompt(EACH), JinjaPrompt(EACH)
    assert first._shape is second._shape  # pyright: ignore[reportPrivateUsage]  # the cache is what is promised
