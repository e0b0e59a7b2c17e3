"""Each row of the reference's tables: test vectors, errors, functions, forms of values; its worked examples."""

import datetime
from typing import Any

import pytest

from modelstore.template import Template, TemplateExecutionError, TemplateSyntaxError
from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.prompt import gotemplate, govalues

HI = [Message("user", "Hi"), Message("assistant", "Yo")]
NOTHING = "{{ range .Messages }}{{ end }}"


def run(text: str, **values: Any) -> str:
    return Template.parse(text + NOTHING).render({"Messages": govalues.messages(HI), "Response": "", **values})


VECTORS = {
    "{{ range $i, $m := .Messages }}{{ if $i }}, {{ end }}{{ $i }}={{ $m.Role }}{{ end }}": "0=user, 1=assistant",
    "a {{- /* c */ -}} b": "abYo",
    "{{ with .Messages }}{{ len . }}{{ else with .System }}s{{ end }}": "2",
    '{{ eq 1 2 1 }} {{ and 1 0 2 }} {{ or 0 "" "x" }}{{ range .Messages }}{{ end }}': "true 0 x",
    "{{ or false nil }}{{ range .Messages }}{{ end }}": "<no value>",
    '{{ slice "abcdef" 1 3 }} {{ index "abc" 1 }} {{ len "héé" }}' + NOTHING: "bc 98 5",
    "{{ .Messages | len | eq 2 }}": "true",
    '{{ json "a<b>&" }}' + NOTHING: '"a\\u003cb\\u003e\\u0026"',
    "{{ 1e6 }} {{ 0x1F }} {{ 'a' }}" + NOTHING: "1e+06 31 97",
    '{{ range .Messages }}{{ if eq .Role "user" }}{{ continue }}{{ end }}{{ .Content }}{{ end }}': "Yo",
}


@pytest.mark.parametrize("text", VECTORS)
def test_test_vectors(text: str) -> None:
    """The response, here the last answer, is appended to a template that shows neither messages nor response."""
    assert gotemplate.render(Template.parse(text), HI) == VECTORS[text]


# -- language ---------------------------------------------------------------------------------------------------------

LANGUAGE = {
    '{{ "\\n\\t\\\\\\"\\r\\x41\\u00e9\\U0001F642\\101" }}': '\n\t\\"\rAé🙂A',
    "{{ `a\nb\\` }}": "a\nb\\",
    "{{ 10 }} {{ 0x1f }} {{ 0o17 }} {{ 017 }} {{ 0b101 }} {{ 1_000 }} {{ -3 }} {{ +3 }}": "10 31 15 15 5 1000 -3 3",
    "{{ 5.0 }} {{ 1.5 }} {{ 123456.0 }} {{ 999999.5 }} {{ 1e6 }}": "5 1.5 123456 999999.5 1e+06",
    "{{ 1234567.5 }}": "1.2345675e+06",
    "{{ 1e21 }} {{ 0.0001 }} {{ 0.00001 }}": "1e+21 0.0001 1e-05",
    "{{ if (and\n(ne 1 2)\n(or false true)) }}a{{ end }}": "a",
    "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}": "2",
    "{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}": "1",
    "{{ if $y := .Nope }}a{{ else }}{{ $y }}{{ end }}": "<no value>",
    "{{ range $i, $e := .None }}a{{ else }}b{{ end }}": "b",
    "{{ range $k, $v := .Map }}{{ $k }}{{ $v }}{{ end }}": "a1bx",
    "{{ range 3 }}{{ . }}{{ end }}": "012",
    '{{ define "n" }}{{ len $ }}{{ end }}{{ template "n" .Messages }}': "2",
    '{{ block "b" 5 }}{{ . }}{{ end }}': "5",
    "{{ .Map | }}": "map[a:1 b:x]",
    "{{ .Nope }} {{ if .Nope }}a{{ end }}{{ not .Nope }}": "<no value> true",
    "{{ .List }} {{ .Map }} {{ .None }}": "[a <nil> [b]] map[a:1 b:x] <no value>",
    "{{- 1 -}} \n\t {{- 2 }}": "12",
    "{{ (index .Messages 0).Content }}{{ slice (index .Messages 1).Role 0 7 }}": "Hiassista",
    'a{{- " "}}/think': "a /think",
    '{{ print ` {"length": "` (slice "12345678" 4) `"}` }}': ' {"length": "5678"}',
    "{{ $built := or (eq 1 2) (eq 2 2) }}{{ $built }}": "true",
}


@pytest.mark.parametrize("text", LANGUAGE)
def test_language(text: str) -> None:
    values: dict[str, Any] = {"Map": {"b": "x", "a": 1.0}, "List": ["a", None, ["b"]], "None": None}
    assert run(text, **values) == LANGUAGE[text]


FUNCTIONS = {
    "{{ and 1 0 (index .Nope 1) }}": "0",
    '{{ or .A "x" }}{{ or 1 (index .Nope 1) }}': "x1",
    "{{ not 0 }}{{ not .Messages }}": "truefalse",
    '{{ eq "a" "b" "a" }}{{ eq .Nope "" }}{{ eq .Nope nil }}{{ eq .Messages nil }}': "truefalsetruefalse",
    '{{ ne 1 2 }}{{ lt 1 2 }}{{ le "a" "b" }}{{ gt 1.5 1.0 }}{{ ge 2 2 }}': "true" * 5,
    '{{ len "é" }}{{ len .Messages }}{{ len .Map }}': "221",
    '{{ index .List 1 }}{{ index "abc" 2 }}{{ index .Map "a" }}{{ index .Map "z" }}': "y991<no value>",
    '{{ slice "abc" }}{{ slice "abc" 1 }}{{ slice "abc" 1 2 }}{{ slice .List 1 }}': "abcbcb[y]",
    '{{ print "D " 3 "" "x" 1 2 }}{{ print nil }}': "D 3x1 2<nil>",
    '{{ println "a" 1 }}': "a 1\n",
    '{{ len (printf "a%*s" 3 "") }}': "4",
    '{{ printf "%s" 5 }}{{ printf "%d" "x" }}{{ printf "%s" }}': "%!s(int=5)%!d(string=x)%!s(MISSING)",
    '{{ printf "a" 1 }}{{ printf "%z" 1 }}': "a%!(EXTRA int=1)%!z(int=1)",
    "{{ html `<a&'\">` }}": "&lt;a&amp;&#39;&#34;&gt;",
    "{{ js `<a'\"=&\n>` }}": "\\u003Ca\\'\\\"\\u003D\\u0026\\u000A\\u003E",
    '{{ urlquery "a b&" }}{{ html "a" 1 2 "b" }}': "a+b%26a1 2b",
    "{{ json .Nope }}{{ json 1.0 }} {{ json 1e21 }} {{ json 0.0000001 }}": "null1 1e+21 1e-7",
    "{{ json .List }}": '["x","y"]',
    '{{ json "\\"\\\\\\n\\u0001\\u2028é" }}': '"\\"\\\\\\n\\u0001\\u2028é"',
    "{{ toTypeScriptType 5 }}": "any",
}


@pytest.mark.parametrize("text", FUNCTIONS)
def test_functions(text: str) -> None:
    assert run(text, Map={"a": 1.0}, List=["x", "y"]) == FUNCTIONS[text]


def test_dates_are_local_and_take_ignored_arguments() -> None:
    today = datetime.date.today()
    expected = f"{today} {today - datetime.timedelta(days=1)}"
    shown = run('{{ currentDate "x" }} {{ yesterdayDate }}')
    assert shown in (expected, f"{datetime.date.today()} {datetime.date.today() - datetime.timedelta(days=1)}")


# -- values -----------------------------------------------------------------------------------------------------------

TOOL = Tool(
    "function",
    name="f",
    description="D",
    parameters=Parameters("object", required=["c"], properties={"n": Property(type=["integer"]), "c": Property()}),
)
CALL = Message("assistant", tool_calls=[ToolCall("f", {"b": 1, "a": {"x": None}}, "id")])

VALUES = {
    "{{ .Tools }}": '[{"type":"function","function":{"name":"f","description":"D","parameters":{"type":"object",'
    '"required":["c"],"properties":{"c":{},"n":{"type":"integer"}}}}}]',
    "{{ range .Tools }}{{ .Function.Parameters.Properties }}{{ end }}": '{"c":{},"n":{"type":"integer"}}',
    "{{ range .Tools }}{{ .Function }}{{ end }}": '{f D {object <nil> <nil> [c] {"c":{},"n":{"type":"integer"}}}}',
    "{{ range .Tools }}{{ json .Function.Name }}{{ end }}": '"f"',
    "{{ (index .Messages 3).ToolCalls }}": '[{id {0 f {"a":{"x":null},"b":1}}}]',
    "{{ json (index .Messages 3).ToolCalls }}": '[{"ID":"id","Function":{"Index":0,"Name":"f","Arguments":'
    '{"a":{"x":null},"b":1}}}]',
    "{{ index .Messages 0 }}": "{user Hi  [] []  }",
    "{{ range $k, $v := (index (index .Messages 3).ToolCalls 0).Function.Arguments }}{{ $k }}={{ $v }} {{ end }}":
    "a=map[x:<nil>] b=1 ",
    "{{ json (index .Messages 0) }}": '{"Role":"user","Content":"Hi","Thinking":"","Images":null,"ToolCalls":null,'
    '"ToolName":"","ToolCallID":""}',
    "{{ .Think }}|{{ .ThinkLevel }}|{{ .IsThinkSet }}|{{ .Prompt }}|{{ .Response }}|{{ .System }}":
    "true|high|true|<no value>||",
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_values(text: str) -> None:
    assert (
        gotemplate.render(Template.parse(text + NOTHING), [*HI, Message("user", "?"), CALL], tools=[TOOL], think="high")
        == VALUES[text]
    )


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (Property(type=["string"]), "string string"),
        (Property(type=["integer"]), "number integer"),
        (Property(type=["array"]), "any[] array"),
        (Property(type=["object"]), "Record<string, any> object"),
        (Property(type=["string", "null"]), "string | null [string null]"),
        (Property(any_of=[Property(type=["boolean"]), Property(type=["number"])]), "boolean | number "),
        (Property(type=["thing"]), "any thing"),
        (Property(), "any "),
    ],
)
def test_types_of_properties(given: Property, shown: str) -> None:
    tool = Tool("function", name="f", parameters=Parameters("object", properties={"p": given}))
    each = "{{ range .Function.Parameters.Properties }}{{ . | toTypeScriptType }} {{ .Type }}{{ end }}"
    text = f"{{{{ range .Tools }}}}{each}{{{{ end }}}}{NOTHING}"
    assert gotemplate.render(Template.parse(text), HI, tools=[tool]) == shown


# -- errors -----------------------------------------------------------------------------------------------------------

SYNTAX = {
    "{{ .Prompt ": "unclosed action",
    "{{ if .X }}a": "unexpected EOF",
    "{{ end }}": "unexpected {{end}}",
    "{{ foo }}": 'function "foo" not defined',
    "{{ $x }}": 'undefined variable "$x"',
    "{{ break }}": "{{break}} outside {{range}}",
    "{{ continue }}": "{{continue}} outside {{range}}",
    '{{ "a }}': "unterminated quoted string",
    "{{ `a }}": "unterminated raw quoted string",
    "{{/* x }}": "unclosed comment",
    "{{/* x */ }}": "comment ends before closing delimiter",
    "{{ /* x */ }}": 'unexpected "/" in command',
    "{{ (1 }}": "unclosed left paren",
    "{{ 1) }}": "unexpected right paren",
    "{{ if .X }}{{ define `x` }}{{ end }}{{ end }}": "unexpected <define> in command",
}


@pytest.mark.parametrize("text", SYNTAX)
def test_mistakes_in_a_template(text: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template.parse(f"a\n{text}")
    assert (caught.value.message, caught.value.line) == (f"template: :2: {SYNTAX[text]}", 2)


FAILURES = {
    "{{ len .Nope }}": "error calling len: len of nil pointer",
    "{{ len 3 }}": "error calling len: len of type int",
    "{{ index .Messages 9 }}": "error calling index: index out of range: 9",
    "{{ index .Messages -1 }}": "error calling index: index out of range: -1",
    '{{ index .Messages "a" }}': "error calling index: cannot index slice/array with type string",
    "{{ index .Nope 1 }}": "error calling index: index of untyped nil",
    '{{ slice "abc" 2 1 }}': "error calling slice: invalid slice index: 2 > 1",
    '{{ slice "abc" 9 }}': "error calling slice: index out of range: 9",
    "{{ slice .Nope }}": "error calling slice: slice of untyped nil",
    "{{ call .Nope }}": "error calling call: call of nil",
    "{{ eq 1 1.0 }}": "error calling eq: incompatible types for comparison: int and float64",
    '{{ eq "1" 1 }}': "error calling eq: incompatible types for comparison: string and int",
    "{{ eq 1 }}": "error calling eq: missing argument for comparison",
    "{{ lt true false }}": "error calling lt: invalid type for comparison",
    "{{ lt .Nope 1 }}": "error calling lt: invalid type for comparison",
    "{{ len 1 2 }}": "wrong number of args for len: want 1 got 2",
    "{{ and }}": "wrong number of args for and: want at least 1 got 0",
    '{{ "a" 1 }}': 'can\'t give argument to non-function "a"',
    "{{ (1) 2 }}": "can't give argument to non-function 1",
    "{{ .Nope.B }}": "nil pointer evaluating interface {}.B",
    "{{ (index .Messages 0).Nope }}": "can't evaluate field Nope in type *template.templateMessage",
    "{{ (index .Messages 0).Content.B }}": "can't evaluate field B in type string",
    "{{ range $i, $x := 3 }}{{ end }}": "can't use 3 to iterate over more than one variable",
    '{{ range "abc" }}{{ end }}': "range can't iterate over abc",
    '{{ template "nope" . }}': 'template "nope" not defined',
    "{{ $x = 1 }}": "undefined variable: $x",
    "{{ nil }}": "nil is not a command",
}


@pytest.mark.parametrize("text", FAILURES)
def test_failures_of_a_run(text: str) -> None:
    with pytest.raises(TemplateExecutionError) as caught:
        run(f"a\n {text}")
    place, _, problem = caught.value.message.partition(">: ")
    assert problem == FAILURES[text]
    assert place.startswith("template: :2:")
    assert ': executing "" at <' in place
    assert caught.value.line == 2


def test_a_template_called_without_a_value_is_refused() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template.parse('{{ define "x" }}{{ end }}{{ template "x" }}')
    assert caught.value.message == "undefined template specified"


# -- turn by turn, suffix ---------------------------------------------------------------------------------------------

CHATML = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    "{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
)
BLOCKS = "".join(f"{{{{ if .{name} }}}}{{{{ .{name} }}}} {{{{ end }}}}" for name in ("System", "Prompt", "Response"))
INST = "[INST] {{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}[/INST] {{ .Response }}"
MIDDLE = "{{- if .Suffix }}<PRE> {{ .Prompt }} <SUF>{{ .Suffix }} <MID>\n{{- else }}{{ .Prompt }}\n{{- end }}"


def _said(*turns: str) -> list[Message]:
    roles = {"S": "system", "U": "user", "A": "assistant"}
    return [Message(roles[turn[0]], turn[2:]) for turn in turns]


@pytest.mark.parametrize(
    ("text", "messages", "prompt"),
    [
        (CHATML, _said("S:s", "U:a", "A:b", "U:c"), (
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
            "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"
        )),
        (CHATML, _said("U:a", "A:b"), "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb"),
        (BLOCKS, _said("U:A", "A:B", "S:C", "U:D"), "A B C D "),
        (INST, _said("U:Hello friend!", "A:Hello human!", "U:What is your name?"),
         "[INST] Hello friend![/INST] Hello human![INST] What is your name?[/INST] "),
        (MIDDLE, _said("U:hello"), "hello"),
    ],
)  # fmt: skip
def test_templates_that_know_no_messages_are_run_turn_by_turn(text: str, messages: list[Message], prompt: str) -> None:
    assert gotemplate.render(Template.parse(text), messages) == prompt


def test_a_prompt_with_a_suffix() -> None:
    shown = gotemplate.render(Template.parse(MIDDLE), (), prompt="def add(", suffix="return x")
    assert shown == "<PRE> def add( <SUF>return x <MID>"


def test_the_last_turn_has_definitions_and_survives_a_response_between_if_and_else() -> None:
    """The original fails at either."""
    ends = "{{ if .System }}{{ .Response }}{{ else }}x{{ end }}y"
    text = f'{{{{ define "m" }}}}<{{{{ . }}}}>{{{{ end }}}}{{{{ template "m" .Prompt }}}}{ends}'
    assert gotemplate.render(Template.parse(text), _said("U:q")) == "<q>"
    assert gotemplate.render(Template.parse(text), _said("S:s", "U:q", "A:r")) == "<q>r"


def test_neighbours_that_are_merged_lose_nothing() -> None:
    """The original keeps the calls and the reasoning of the first message alone."""
    messages = [
        Message("user", "q"),
        Message("assistant", "a", thinking="x", tool_calls=[ToolCall("f")]),
        Message("assistant", "b", thinking="y", tool_calls=[ToolCall("g")]),
    ]
    calls = "{{ range .ToolCalls }}{{ .Function.Name }}{{ end }}"
    text = f"{{{{ range .Messages }}}}{{{{ .Thinking }}}}|{{{{ .Content }}}}|{calls};{{{{ end }}}}"
    assert gotemplate.render(Template.parse(text), messages) == "|q|;x\n\ny|a\n\nb|fg;"
