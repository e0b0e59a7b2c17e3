"""The syntax of calls as templates show it."""

from collections.abc import Sequence

import jsonschema
import pytest

from modelstore.template import Template
from server.messages import Message, Parameters, Tool
from server.parse.syntax import CallSyntax, inferred, plain
from server.parse.tools import ToolCallParser
from server.prompt import JinjaPrompt, gotemplate
from tests.unit.server.parse.syntax.walks import admits, composed, walk

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
TOOLS = [
    Tool("function", name=name, parameters=Parameters("object", schema=SCHEMA)) for name in ("add", "add_more", "now")
]


def go(calls: str) -> str:
    return "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ if .ToolCalls }}" + calls + "{{ end }}</end>\n{{ end }}"


ITEM = '{"name": "{{ .Function.Name }}", "%s": {{ .Function.Arguments }}}'
TEMPLATES = {
    "tags": go("<tool_call>\n{{ range .ToolCalls }}" + ITEM % "arguments" + "\n{{ end }}</tool_call>"),
    "tags each": go("{{ range .ToolCalls }}<tool_call>\n" + ITEM % "arguments" + "\n</tool_call>\n{{ end }}"),
    "bare": go("{{ range .ToolCalls }}" + ITEM % "parameters" + "{{ end }}"),
    "array": go("[TOOL_CALLS] [{{ range .ToolCalls }}" + ITEM % "arguments" + "{{ end }}]"),
    "bare array": go("\n [ {{ range .ToolCalls }}" + ITEM % "arguments" + ", {{ end }}]"),
    "named": go("{{ range .ToolCalls }}[TOOL_CALLS]{{ .Function.Name }}[ARGS]{{ .Function.Arguments }}{{ end }}"),
}


def syntax_of(template: Template) -> CallSyntax | None:
    def render(messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return gotemplate.render(template, messages, tools=tools)

    return inferred(render, template.tool_tag())


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("form", TEMPLATES)
def test_the_parser_reads_what_the_inferred_grammar_admits(form: str, many: bool) -> None:
    template = Template.parse(TEMPLATES[form])
    syntax = syntax_of(template)
    assert syntax is not None
    rules = syntax.write(TOOLS, many)
    assert not admits(composed(rules), "x")
    for start in ("calls", "rest"):
        for seed in range(5):
            text = walk(composed(rules, start), seed)
            assert text is not None
            text = text if start == "calls" else syntax.openings[seed % len(syntax.openings)] + text
            parser = ToolCallParser(template.tool_tag(), [tool.name for tool in TOOLS])
            parsed = parser.feed(text) + parser.finish()
            assert parsed.calls, text
            assert many or len(parsed.calls) == 1
            assert not parsed.content.strip(), text
            for call in parsed.calls:
                jsonschema.validate(call.arguments, SCHEMA)


def test_bare_brackets_mean_a_call_only_with_the_member_that_names_it() -> None:
    syntax = syntax_of(Template.parse(TEMPLATES["bare"]))
    assert syntax is not None
    assert syntax.at_start
    assert '{"name":' in syntax.openings
    assert "{" not in syntax.openings


@pytest.mark.parametrize(
    "calls", ["", "{{ range .ToolCalls }}call {{ .Function.Name }}: {{ len .Function.Arguments }}{{ end }}"]
)
def test_a_form_that_is_not_known_is_left_alone(calls: str) -> None:
    assert syntax_of(Template.parse(go(calls))) is None


def test_a_chat_template_shows_it_too() -> None:
    text = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>\n"
        '{"name": {{ c.function.name | tojson }}, "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>\n'
        "{% endfor %}{% endfor %}"
    )
    prompt = JinjaPrompt(text)
    syntax = inferred(lambda messages, tools: prompt.render(messages, tools, None), "<tool_call>")
    assert syntax is not None
    grammar = composed(syntax.write(TOOLS, False))
    assert admits(grammar, '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>')
    assert not admits(grammar, '<tool_call>\n{"name": "add", "arguments": {"a": "1"}}\n</tool_call>')


@pytest.mark.parametrize("tag", ["{", "[", "<tool_call>", "[TOOL_CALLS] ["])
def test_without_a_form_the_commonest_can_be_demanded(tag: str) -> None:
    for seed in range(5):
        text = walk(composed(plain(tag).write(TOOLS, True)), seed)
        assert text is not None
        parser = ToolCallParser(tag, [tool.name for tool in TOOLS])
        parsed = parser.feed(text) + parser.finish()
        assert parsed.calls
        assert not parsed.content.strip()
