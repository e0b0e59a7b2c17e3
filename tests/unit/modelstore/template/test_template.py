"""Templates from text to output, beyond what the recorded conversations show."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.template import Limits, Template, TemplateError, TemplateExecutionError, TemplateSyntaxError
from modelstore.template.records import Messages, Tools
from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.prompt import gotemplate, govalues

HI = [Message("user", "Hi"), Message("assistant", "Yo")]


def run(text: str, **values: Any) -> str:
    """The output over `.Messages` (Hi, Yo) and further values."""
    return Template.parse(text).render({"Messages": govalues.messages(HI), "Response": "", **values})


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("{{ range $i, $m := .Messages }}{{ if $i }}, {{ end }}{{ $i }}={{ $m.Role }}{{ end }}", "0=user, 1=assistant"),
        ("{{ or false nil }}", "<no value>"),
        ('{{ slice "abcdef" 1 3 }} {{ index "abc" 1 }} {{ len "héé" }}', "bc 98 5"),
        ("{{ slice .Messages 1 | len }}", "1"),
        ("{{- /* nothing */ -}}", ""),
        ('{{ $x := "a" }}{{ with $y := "b" }}{{ $x }}{{ $y }}{{ end }}', "ab"),
        ("{{ range $i, $e := .Messages }}{{ else }}none{{ end }}", ""),
        ("{{ range $k, $v := .Map }}{{ $k }}={{ $v }} {{ end }}", "a=1 b=[x 2] "),
        ("{{ .Map }}", "map[a:1 b:[x 2]]"),
        ("{{ .Map.a }} {{ .Map.none }}", "1 <no value>"),
        ('{{ printf "%6.2f|%-6d|%+d|%x" 3.14159 42 7 "hi" }}', "  3.14|42    |+7|6869"),
        ('{{ printf "%q|%v" "a\\"b" .Map }}', '"a\\"b"|map[a:1 b:[x 2]]'),
        ('{{ printf "%[3]*.[2]*[1]f" 12.0 2 6 }}', " 12.00"),
        ('{{ printf "%d %s" 1 }}', "1 %!s(MISSING)"),
        ('{{ printf "%.3s|%5t|%c|%U" "abcdef" true 233 233 }}', "abc| true|é|U+00E9"),
        ('{{ printf "%" }}', "%!(NOVERB)"),
        ('{{ printf "%[9]d" 1 }}', "%!d(BADINDEX)"),
        ('{{ printf "%-4d|%04d|% d" 7 -7 7 }}', "7   |-007| 7"),
        ('{{ printf "%e %G" 1500.0 1e21 }}', "1.500000e+03 1E+21"),
        ('{{ printf "%T %T" 1 .Messages }}', "int []*template.templateMessage"),
        ('{{ printf "%#q %#x" "a" 255 }}', "`a` 0xff"),
        ('{{ html "<" 1 "a" }} {{ urlquery "é &" }} {{ js "\\n" }}', "&lt;1a %C3%A9+%26 \\u000A"),
        ("{{ if and (eq .Map.a 1.0) (not .None) }}yes{{ end }}", "yes"),
        ("{{ true | not | print }}", "false"),
        ("{{ .Tools.String }}", "[]"),
        ('{{ define "x" }}{{ range . }}a{{ break }}{{ end }}{{ end }}{{ template "x" .Messages }}', "a"),
    ],
)
def test_output(text: str, output: str) -> None:
    assert run(text, Map={"b": ["x", 2], "a": 1.0}, Tools=_NoTools()) == output


class _NoTools(Tools):
    def text(self) -> str:
        return "[]"


DOUBLE = 'template: :1: template: multiple definition of template "a"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ if\n", "template: :2: unclosed action started at :1"),
        ("{{ if .X\n|\n %% }}", 'template: :3: unexpected "%" in if'),
        ("{{ template x }}", 'template: :1: unexpected "x" in template clause'),
        ("{{ range .X }}{{ else if .Y }}{{ end }}{{ end }}", "template: :1: unexpected <if> in input"),
        ('{{ define "a" }}x{{ end }}{{ define "a" }}y{{ end }}', DOUBLE),
        ("{{ true.X }}", 'template: :1: unexpected . after term "true"'),
        ('{{ "\\q" }}', "template: :1: invalid syntax"),
        ("{{ 99999999999999999999 }}", 'template: :1: integer overflow: "99999999999999999999"'),
        ("{{ 0x }}", 'template: :1: illegal number syntax: "0x"'),
        ("{{ \u00a0 }}", "template: :1: unrecognized character in action: U+00A0"),
        ("{{ ''' }}", "template: :1: invalid syntax"),
        ("{{ .X : 1 }}", "template: :1: expected :="),
        ("{{ end", "template: :1: unclosed action"),
        ("{{ range $a, 1 := .X }}{{ end }}", "template: :1: range can only initialize variables"),
    ],
)
def test_syntax_errors_read_like_go(text: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template.parse(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ('é{{ len "a" 1 }}', ':1:5: executing "" at <len>', "wrong number of args for len: want 1 got 2"),
        (
            '{{ define "t" }}\n{{ .Nope.X }}{{ end }}{{ template "t" .Messages }}',
            ':2:8: executing "t" at <.Nope.X>',
            "can't evaluate field Nope in type []*template.templateMessage",
        ),
        ("{{ printf 1 }}", ':1:10: executing "" at <1>', "expected string; found 1"),
        (
            "{{ printf .Messages }}",
            ':1:10: executing "" at <.Messages>',
            "wrong type for value; expected string; got []*template.templateMessage",
        ),
        (
            "{{ (index .Messages 0).Role 1 }}",
            ':1:20: executing "" at <0>',
            "Role has arguments but cannot be invoked as function",
        ),
        (
            "{{ le 1 1.5 }}",
            ':1:3: executing "" at <le 1 1.5>',
            "error calling le: incompatible types for comparison: int and float64",
        ),
        (
            "{{ index .Messages 2 }}",
            ':1:3: executing "" at <index .Messages 2>',
            "error calling index: reflect: slice index out of range",
        ),
        ("{{ 1 | .Messages }}", ':1:7: executing "" at <.Messages>', "Messages is not a method but has arguments"),
    ],
)
def test_execution_errors_name_the_place(text: str, place: str, problem: str) -> None:
    """In lines and bytes, within the template that was running."""
    with pytest.raises(TemplateExecutionError) as caught:
        run(text)
    assert caught.value.message == f"template: {place}: {problem}"


# -- any text ---------------------------------------------------------------------------------------------------------


_WORDS = (
    "{{|}}|{{- | -}}|if |else |end|range |with |define |template |block |break|$x| := | = |(|)|.|.Messages|.Role|$|,"
)
_MORE_WORDS = ' |\n|"a"|`b`|1|-2.5|nil|true|len |index |slice |printf |"%v%d"|json |and |eq |/*|*/|é|\\|text|0x'
_PIECES = st.sampled_from([*_WORDS.split("|"), *_MORE_WORDS.split("|"), "'c'", "|"])


@given(st.lists(_PIECES, max_size=25).map("".join) | st.text(max_size=60))
def test_any_text_is_a_template_or_a_template_error(text: str) -> None:
    """Nothing else is ever raised, neither by parsing nor by rendering."""
    message = "template"
    try:
        template = Template.parse(text)
        template.thinking_tags()
        template.tool_tag()
        values = {"Messages": govalues.messages(HI), "System": "s", "Tools": govalues.tools([])}
        assert isinstance(template.render(values, Limits(steps=2000)), str)
        assert isinstance(template.render_open(values, Limits(steps=2000)), str)
    except TemplateError as error:
        message = error.message
    assert message.startswith("template") or message == "undefined template specified"


@given(st.text(st.characters(exclude_characters="{}")))
def test_text_outside_actions_is_copied(text: str) -> None:
    assert Template.parse(text + "{{ .Response }}").render({"Response": ""}) == text


@given(st.text())
def test_values_are_never_trimmed_or_escaped(value: str) -> None:
    assert Template.parse("a {{- .Response -}} b").render({"Response": value}) == f"a{value}b"


# -- what the tree tells ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{ .Function.Name }}", {"function", "name", "response"}),
        ("{{ range $.Messages }}{{ end }}", {"$", "messages"}),
        ("{{ (index .Messages 0).Content }}", {"response"}),
        ('{{ define "x" }}{{ .Tools }}{{ end }}{{ template "x" .Messages }}', {"tools", "messages"}),
        ("{{ if (eq (len .A) 1) }}{{ else }}{{ .Response }}{{ end }}", {"a", "response"}),
    ],
)
def test_variables(text: str, names: set[str]) -> None:
    """A template that shows neither messages nor response has the response appended."""
    assert Template.parse(text).variables == names


def _in_range(inner: str) -> str:
    return f"{{{{ range .Messages }}}}{inner}{{{{ end }}}}"


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (_in_range("{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"), ("<think>", "</think>")),
        (_in_range("A  {{ .Thinking }} B"), ("A", "B")),
        (_in_range('A{{ template "t" .Thinking }}B'), ("A", "B")),
        (_in_range("{{ if and .Thinking .Content }}<t>{{ .Thinking }}</t>{{ end }}x"), ("<t>", "</t>")),
        ("{{ range $i, $m := .Messages }}<t>{{ $m.Thinking }}</t>{{ end }}", None),
        ("{{ range $.Messages }}<t>{{ .Thinking }}</t>{{ end }}", None),
        (_in_range("{{ range .X }}<t>{{ .Thinking }}</t>{{ end }}"), None),
        ("<t>{{ .Thinking }}</t>", None),
        (_in_range("<t>{{ .Thinking }}"), None),
    ],
)
def test_thinking_tags(text: str, tags: tuple[str, str] | None) -> None:
    assert Template.parse(text).thinking_tags() == tags


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ('{{ if .ToolCalls }}<tool_call>\n{{ range .ToolCalls }}{"name": ', "<tool_call>"),
        ('{{ if .ToolCalls }}{{ range .ToolCalls }}{"name": ', "{"),
        ("{{ if .ToolCalls }}[TOOL_CALLS] [{{ range .ToolCalls }}", "[TOOL_CALLS] ["),
        ("{{ if .ToolCalls }}\n [ {{ range .ToolCalls }}", "["),
        ("{{ if and .X .ToolCalls }} {{ if .Y }}{{ else }}<c>{{ end }}{{ range .Z }}", "<c>"),
        ("{{ if .ToolCalls }}{{ .Content }}<c>{{ range .Z }}", "{"),
        ("{{ if $m.ToolCalls }}<c>{{ range .Z }}", "{"),
        ("{{ if (gt (len .ToolCalls) 0) }}<c>{{ range .Z }}", "{"),
        ("{{ if .X }}{{ range .Z }}", "{"),
    ],
)
def test_tool_tag(text: str, tag: str) -> None:
    assert Template.parse("{{ $m := . }}" + text + "{{ end }}" * 2).tool_tag() == tag


# -- a whole prompt ---------------------------------------------------------------------------------------------------

WORKED = """{{- if or .System .Tools }}<sys>{{ .System }}
{{- range .Tools }}
{{ . }}
{{- end }}</sys>
{{ end }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<u>{{ .Content }}</u>
{{ else if eq .Role "assistant" }}<a>
{{- if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}
{{- if .ToolCalls }}<call>{{ range $j, $c := .ToolCalls }}{{ if $j }},{{ end }}{"name":"{{ $c.Function.Name }}",\
"arguments":{{ $c.Function.Arguments }}}{{ end }}</call>{{ end }}
{{- if not $last }}</a>
{{ end }}
{{- else if eq .Role "tool" }}<t {{ .ToolName }}>{{ .Content }}</t>
{{ end }}
{{- if and $last (ne .Role "assistant") }}<a>{{ if and $.IsThinkSet $.Think }}<think>{{ end }}{{ end }}
{{- end }}"""


def test_a_conversation_with_everything() -> None:
    template = Template.parse(WORKED)
    properties = {"days": Property(type=["integer"]), "city": Property(type=["string"])}
    weather = Tool(
        "function", None, "get_weather", "Get weather", Parameters("object", None, None, ["city"], properties)
    )
    call = ToolCall("get_weather", {"days": 2, "city": "Paris"})
    messages = [
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message("user", "In Paris."),
        Message("assistant", thinking="Need tool.", tool_calls=[call]),
        Message("tool", "22C", tool_name="get_weather"),
        Message("tool", "23C", tool_name="get_weather"),
    ]
    assert gotemplate.render(template, messages, tools=[weather], think=True) == (
        '<sys>Be brief.\n{"type":"function","function":{"name":"get_weather","description":"Get weather","parameters":'
        '{"type":"object","required":["city"],"properties":{"city":{"type":"string"},"days":{"type":"integer"}}}}}</sys>\n'
        '<u>Weather?\n\nIn Paris.</u>\n<a><think>Need tool.</think><call>{"name":"get_weather","arguments":'
        '{"city":"Paris","days":2}}</call></a>\n<t get_weather>22C</t>\n<t get_weather>23C</t>\n<a><think>'
    )
    assert template.thinking_tags() == ("<think>", "</think>")
    assert template.tool_tag() == "<call>"


def test_an_empty_list_of_a_go_type_is_nil() -> None:
    assert run("{{ json .List }} {{ if .List }}a{{ end }}{{ eq .List nil }}", List=Messages()) == "null true"
