"""Templates that would take forever, or all memory there is."""

import pytest

from modelstore.template import Limits, Template, TemplateError, TemplateExecutionError, TemplateSyntaxError, stream
from modelstore.template.printing import MAX_TEXT
from server.messages import Message, ToolCall
from server.prompt import gotemplate

SMALL = Limits(steps=5000, output=50_000)
LOOP = "{{ range 99999999 }}"
WIDE = "%9999999d"


def _doubling(levels: int, last: str) -> str:
    """Definitions of which each calls the next one twice."""
    calls = "".join(
        f'{{{{ define "r{i}" }}}}{{{{ template "r{i + 1}" . }}}}{{{{ template "r{i + 1}" . }}}}{{{{ end }}}}'
        for i in range(levels)
    )
    return f'{calls}{{{{ define "r{levels}" }}}}{last}{{{{ end }}}}{{{{ template "r0" . }}}}'


STEPS = {
    "an empty loop": LOOP + "{{ end }}",
    "loops in loops": LOOP * 3 + "{{ end }}" * 3,
    "a loop that never gets anywhere": LOOP + "{{ continue }}{{ end }}",
    "a loop in ifs": "{{ if 1 }}" * 50 + LOOP + "{{ end }}" * 51,
    "templates that double": _doubling(30, "x"),
    "templates that double and do nothing": _doubling(30, ""),
    "a long text measured": LOOP + "{{ $x := len $.Long }}{{ end }}",
    "long texts compared": LOOP + "{{ $x := eq $.Long $.Long }}{{ end }}",
    "long texts ordered": LOOP + "{{ $x := lt $.Long $.Long }}{{ end }}",
    "a long text indexed": LOOP + "{{ $x := index $.Long 1 }}{{ end }}",
    "a long text cut": LOOP + "{{ $x := slice $.Long 1 }}{{ end }}",
    "a list cut": LOOP + "{{ $x := slice $.List 1 }}{{ end }}",
    "a list printed": LOOP + "{{ $x := print $.List }}{{ end }}",
    "a list as JSON": LOOP + "{{ $x := json $.List }}{{ end }}",
    "keys sorted": LOOP + "{{ range $.Map }}{{ break }}{{ end }}{{ end }}",
    "an escaped text": LOOP + "{{ $x := html $.Long }}{{ end }}",
    "directives": LOOP + '{{ $x := printf "' + "%" * 5000 + '" }}{{ end }}',
}


@pytest.mark.parametrize("text", STEPS.values(), ids=STEPS)
def test_work_is_bounded(text: str) -> None:
    """By the steps that one execution may take, in which long values count more."""
    values = {"Long": "x" * 20_000, "List": ["x"] * 2000, "Map": dict.fromkeys(map(str, range(500)), 1)}
    with pytest.raises(TemplateExecutionError, match="takes more than 5000 steps"):
        Template.parse(text).render(values, SMALL)


OUTPUT = {
    "text": LOOP + "x" * 100 + "{{ end }}",
    "a value": LOOP + "{{ $.Long }}{{ end }}",
    "a template": '{{ define "t" }}' + "x" * 999 + "{{ end }}" + LOOP + '{{ template "t" . }}{{ end }}',
}


@pytest.mark.parametrize("text", OUTPUT.values(), ids=OUTPUT)
def test_output_is_bounded(text: str) -> None:
    with pytest.raises(TemplateExecutionError, match="writes more than 50000 characters"):
        Template.parse(text).render({"Long": "x" * 999}, SMALL)


TEXTS = {
    "doubled": '{{ $x := "xx" }}{{ range 99 }}{{ $x = print $x $x }}{{ end }}',
    "as wide as allowed": f'{{{{ $x := printf "{WIDE}" 1 }}}}',
    "a precise number": '{{ $x := printf "%.999999f" 1.5 }}',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_texts_on_the_way_are_bounded(text: str) -> None:
    with pytest.raises(TemplateExecutionError, match=r"a text of more than 50000 characters|more than 5000 steps"):
        Template.parse(text).render({}, SMALL)


CALLS = {
    "many wide fields": f'{{{{ printf "{WIDE * 20}" {"1 " * 20}}}}}',
    "a field an element": f'{{{{ printf "{WIDE.replace("d", "v")}" .List }}}}',
    "many arguments": f'{{{{ $x := printf "{WIDE[:-2]}d" 1 }}}}{{{{ print {"$x " * 20}}}}}',
}


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS)
def test_one_call_is_bounded_while_it_writes(text: str) -> None:
    """Not only when it has written everything."""
    with pytest.raises(TemplateExecutionError, match=f"text of more than {MAX_TEXT} characters"):
        Template.parse(text).render({"List": ["x"] * 50})


@pytest.mark.parametrize("digits", [8, 12, 4000])
def test_a_width_beyond_all_measure_is_none(digits: int) -> None:
    """To Go the format ends there."""
    assert (
        Template.parse(f'{{{{ printf "%{"9" * digits}d" 1 }}}}').render({"Response": ""}) == "%!(NOVERB)%!(EXTRA int=1)"
    )


def test_templates_that_call_themselves_end() -> None:
    text = '{{ define "r" }}{{ template "r" . }}{{ end }}{{ template "r" . }}'
    with pytest.raises(TemplateExecutionError, match=r"exceeded maximum template depth \(40\)"):
        Template.parse(text).render({})


def test_values_nested_beyond_all_measure_are_refused() -> None:
    value: list[object] = []
    for _ in range(3000):
        value = [value]
    for text in ("{{ .V }}", "{{ json .V }}", '{{ printf "%d" .V }}'):
        with pytest.raises(TemplateExecutionError, match="exceeded maximum template depth"):
            Template.parse(text).render({"V": value})


def test_arguments_nested_beyond_all_measure_are_refused() -> None:
    value: list[object] = []
    for _ in range(3000):
        value = [value]
    call = Message("assistant", tool_calls=[ToolCall("f", {"x": value})])
    with pytest.raises(TemplateExecutionError, match="nest too deep"):
        gotemplate.render(Template.parse("{{ .Messages }}"), [call])


NESTED = {
    "ifs": "{{ if .X }}" * 5000,
    "parentheses": "{{ " + "(" * 5000,
    "else ifs": "{{ if .X }}" + "{{ else if .Y }}" * 5000,
    "ranges in withs": "{{ range .X }}{{ with .Y }}" * 3000,
    "blocks": '{{ block "a" . }}' * 5000,
    "both": "{{ if (" * 3000,
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
def test_nesting_is_bounded(text: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        Template.parse(text)


@pytest.mark.parametrize("text", ["{{ 1 }}\n" * 200, "{{" + " .a" * 200 + "}}", "{{ 1" + " | print" * 200 + " }}"])
def test_a_program_of_any_size_is_not_read(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_TOKENS", 300)
    with pytest.raises(TemplateSyntaxError, match="more than 300 tokens"):
        Template(text)


def test_a_text_of_any_size_is() -> None:
    text = "x" * 2_000_000
    assert Template(text + "{{ .Response }}").render({"Response": "y"}) == text + "y"


FLAT = {
    "variables": "".join(f"{{{{ $x{i} := 1 }}}}" for i in range(200)) + "{{ $x0 }}" * 100,
    "fields": "{{ " + ".a" * 2000 + " }}",
    "a pipeline": "{{ 1" + " | print" * 500 + " }}",
    "arguments": "{{ print" + " 1" * 1000 + " }}",
    "escapes": '{{ "' + "\\n" * 2000 + '" }}',
    "digits": "{{ " + "9" * 5000 + " }}",
    "an exponent": "{{ 1e" + "9" * 5000 + " }}",
    "commands": "{{/* */}}" * 500,
}


@pytest.mark.parametrize("text", FLAT.values(), ids=FLAT)
def test_long_templates_are_read_in_one_go(text: str) -> None:
    """They work, or are refused for what is wrong with them."""
    message = "template: "
    try:
        Template.parse(text).render({})
    except TemplateError as error:
        message = error.message
    assert message.startswith("template: ")
