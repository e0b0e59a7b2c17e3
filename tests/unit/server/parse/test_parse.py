"""A model's text to content, thinking and calls, in pieces of any size."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelstore.capabilities import TemplateMode
from modelstore.template import Template
from server.messages import Tool, ToolCall
from server.parse import (
    BlockParser,
    OutputParser,
    Parsed,
    Parser,
    ThinkingParser,
    ToolCallParser,
    family_parser,
    parsers_for,
)
from server.parse.families import FAMILIES

NAMES = ("get_weather", "get", "weather", "now")


def run(parser: Parser | OutputParser, pieces: Sequence[str]) -> Parsed:
    """All that comes out, one after the other."""
    total = Parsed()
    for piece in pieces:
        total += parser.feed(piece)
    return total + parser.finish()


def call(arguments: dict[str, Any], index: int = 0, name: str = "get_weather") -> ToolCall:
    return ToolCall(name, arguments, index=index)


@st.composite
def _cut(draw: st.DrawFn, pieces: Sequence[str]) -> tuple[str, list[str]]:
    """A text made of pieces, and the same text cut elsewhere."""
    text = "".join(draw(st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=14)))
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return text, [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


# -- thinking ---------------------------------------------------------------------------------------------------------


def _think(*pieces: str, opened: bool = False) -> tuple[str, str]:
    parsed = run(ThinkingParser("<think>", "</think>", opened=opened), pieces)
    return parsed.thinking, parsed.content


@pytest.mark.parametrize(
    ("pieces", "thinking", "content"),
    [
        (["  abc <think>d</think>"], "", "  abc <think>d</think>"),
        (["<think> internal </think> world"], "internal ", "world"),
        (["<think>abc</th", "ing>def"], "abc</thing>def", ""),
        (["<think>a</think><think>b</think>c"], "a", "<think>b</think>c"),
        (["\n<thi", "nk>", " \n", "a", "</", "think>", "\n\n", "b", " "], "a", "b "),
        (["<think>cut of", "f </thi"], "cut off </thi", ""),
        (["<thi"], "", "<thi"),
        (["  \n"], "", ""),
        (["<think>", "</think>"], "", ""),
    ],
)
def test_thinking(pieces: list[str], thinking: str, content: str) -> None:
    assert _think(*pieces) == (thinking, content)


def test_thinking_that_the_prompt_opened() -> None:
    assert _think("\n why", "</think>", "\n\nbecause", opened=True) == ("why", "because")


def test_thinking_is_passed_on_as_it_comes() -> None:
    """All but what may be the closing tag."""
    parser = ThinkingParser("<think>", "</think>")
    assert parser.feed("<think>abc</thi") == Parsed(thinking="abc")


_THOUGHTS = ("<think>", "</think>", "<thi", "nk>", "</", " ", "\n", "a")


@given(_cut(_THOUGHTS), st.booleans())
def test_thinking_does_not_depend_on_the_cuts(texts: tuple[str, list[str]], opened: bool) -> None:
    whole, pieces = texts
    assert _think(*pieces, opened=opened) == _think(whole, opened=opened)


# -- calls behind an inferred tag -------------------------------------------------------------------------------------

PARIS, ROME = (
    '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    '{"name": "get_weather", "parameters": {"city": "Rome"}}',
)
CITY_P, CITY_R = {"city": "Paris"}, {"city": "Rome"}
NOPE = '{"name": "nope", "arguments": {}}'
LIST = '{"name": "get_weather", "arguments": [1]}'
QUOTED = "{\"name\": 'get_weather'}"
"""No calls: an undeclared tool, arguments that are no object, no JSON."""
NO_CALLS: list[dict[str, Any]] = []
EMPTY: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("tag", "pieces", "content", "calls"),
    [
        (
            "<tool_call>",
            ["Hi <tool", f"_call>\n{PARIS}\n</tool_call>", f"<tool_call>{ROME}</tool_call> bye"],
            "Hi ",
            [CITY_P, CITY_R],
        ),
        ("{", ['{"name": "get_weather", "para', 'meters": {"city": "Paris"}}', " extra"], "", [CITY_P]),
        ("{", [f"Sure! {PARIS}"], f"Sure! {PARIS}", NO_CALLS),
        ("{", ['{"a": 1', "} done", "x"], '{"a": 1} donex', NO_CALLS),
        ("[", [f"[{PARIS}", f", {ROME}", "]", "tail"], "", [CITY_P, CITY_R]),
        ("<tool_call>", [f"<tool_call>{NOPE}</tool_call> bye"], f"<tool_call>{NOPE}</tool_call> bye", NO_CALLS),
        ("[", ["[special", " delivery]"], "[special delivery]", NO_CALLS),
        ("{", [' \n{"name": "get_weather"}'], " \n", [EMPTY]),
        ("<c>", ['<c>{"name": "get_weather", "arguments": "{\\"a\\": 1}"}'], "", [{"a": 1}]),
        ("<c>", ['<c>{"arguments": {"b": 1, "a": 2}, "name": "get_weather"}'], "", [{"b": 1, "a": 2}]),
        ("<c>", ['<c>{"function": {"name": "get_weather", "arguments": {"a": 1}}}'], "", [{"a": 1}]),
        ("<c>", ['<c>{"get_weather": {"a": 1}}'], "", [{"a": 1}]),
        ("<c>", ['<c>get_weather({"a": 1})'], "", [{"a": 1}]),
        ("<c>", ['<c>get_weather[ARGS]{"name": "Bob"}'], "", [{"name": "Bob"}]),
        ("<c>", ['<c>get_weather\n```json\n{"a": "}"}\n```'], "", [{"a": "}"}]),
        ("<c>", [f"<c>{LIST}\n{PARIS}"], LIST, [CITY_P]),
        ("<c>", [f"<c>{QUOTED}\n{PARIS}"], QUOTED, [CITY_P]),
        ("<c>", [f"<c>{NOPE}\n{PARIS}"], NOPE, [CITY_P]),
        ("<c>", [f"<c>{PARIS}</c> <c>{NOPE}</c> bye"], NOPE, [CITY_P]),
        ("<c>", [f"<c>{PARIS}", LIST, NOPE, ROME, " {"], f"{LIST}{NOPE}{{", [CITY_P, CITY_R]),
        ("<c>", [f'<c>{PARIS}\n{{"name": "get_wea'], '{"name": "get_wea', [CITY_P]),
        ("{", [f'{{"tool_calls": [{PARIS}, {ROME}]}}'], "", [CITY_P, CITY_R]),
        ("<c>", [f'<c>{{"tool_calls": [{PARIS}, {NOPE}]}}'], f'<c>{{"tool_calls": [{PARIS}, {NOPE}]}}', NO_CALLS),
        (
            "<c>",
            ['<c>{"name": ["get_weather"], "arguments": {}}'],
            '<c>{"name": ["get_weather"], "arguments": {}}',
            NO_CALLS,
        ),
        ("{", ['{"name": "get_weather", "argu'], '{"name": "get_weather", "argu', NO_CALLS),
        ("<tool_call>", ["a <tool_c"], "a <tool_c", NO_CALLS),
        ("<c>", ["<c>get_weather"], "<c>get_weather", NO_CALLS),
    ],
)
def test_calls(tag: str, pieces: list[str], content: str, calls: list[dict[str, Any]]) -> None:
    expected = tuple(call(arguments, index) for index, arguments in enumerate(calls))
    assert run(ToolCallParser(tag, ["get_weather"]), pieces) == Parsed(content, calls=expected)


def test_the_longest_name_at_a_place_wins() -> None:
    parser = ToolCallParser("<c>", NAMES)
    pieces = ["<c>get", '_weather{"a": 1} get{"b": 2} now', '{"name": "weather", "arguments": {}}']
    assert run(parser, pieces).calls == (
        call({"a": 1}),
        call({"b": 2}, 1, "get"),
        call({}, 2, "weather"),
    )


def test_the_name_inside_the_object_wins_over_one_in_its_arguments() -> None:
    text = '<c>{"arguments": {"q": "get_weather"}, "name": "now"}'
    assert run(ToolCallParser("<c>", NAMES), [text]).calls == (call({"q": "get_weather"}, name="now"),)


def test_calls_come_as_soon_as_they_are_complete() -> None:
    parser = ToolCallParser("<c>", NAMES)
    assert parser.feed(f"text <c>{PARIS}") == Parsed("text ", calls=(call(CITY_P),))
    assert parser.feed(ROME).calls == (call(CITY_R, 1),)


def test_a_long_argument_is_read_once() -> None:
    """The work grows with the text, not with its square: each piece is scanned, not all before it."""
    parser = ToolCallParser("{", NAMES)
    parser.feed('{"name": "now", "arguments": {"text": "')
    for _ in range(20_000):
        assert not parser.feed("get x ")
    assert len(parser.feed('"}}').calls[0].arguments["text"]) == 120_000


_CALLS = (
    PARIS,
    ROME,
    "<c>",
    "</c>",
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    "get_weather",
    "get",
    "now",
    "n",
    ", ",
    "\n",
    '{"x": {}}',
)


@given(_cut(_CALLS), st.sampled_from(["<c>", "{", "["]))
@example((f"{{{PARIS}}} n", [f"{{{PARIS}}} ", "n"]), "{")
@example(("[]get_weather{}", ["[", "]get", "_weather{}"]), "[")
@example(('<c>get{"a\\"', ["<c>g", 'et{"a\\', '"']), "<c>")
def test_calls_do_not_depend_on_the_cuts(texts: tuple[str, list[str]], tag: str) -> None:
    whole, pieces = texts
    assert run(ToolCallParser(tag, NAMES), pieces) == run(ToolCallParser(tag, NAMES), [whole])


@given(st.text(max_size=40), st.sampled_from(["<c>", "{", "["]))
def test_text_without_the_tag_passes(text: str, tag: str) -> None:
    if tag not in text and not tag.startswith(text.strip()):
        assert run(ToolCallParser(tag, NAMES), [text]).content == text


# -- blocks -----------------------------------------------------------------------------------------------------------


def _block(text: str) -> str:
    return f"<tool_call>\n{text}\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (f"{_block(PARIS)}\n{_block(ROME)}\n", "", [CITY_P, CITY_R]),
        (f"Let me see.\n\n{_block(PARIS)}\n Done", "Let me see.Done", [CITY_P]),
        (_block('{"name": "get_weather"}'), "", [EMPTY]),
        (_block('{"name": "nope", "arguments": {}}'), _block('{"name": "nope", "arguments": {}}'), NO_CALLS),
        (_block("no json"), _block("no json"), NO_CALLS),
        (
            _block('{"name": "get_weather", "arguments": [1]}'),
            _block('{"name": "get_weather", "arguments": [1]}'),
            NO_CALLS,
        ),
        (
            _block('{"name": ["get_weather"], "arguments": {}}'),
            _block('{"name": ["get_weather"], "arguments": {}}'),
            NO_CALLS,
        ),
        (
            _block('{"name": "get_weather", "arguments": "no"}'),
            _block('{"name": "get_weather", "arguments": "no"}'),
            NO_CALLS,
        ),
        (_block('{"name": "get_weather", "arguments": ""}'), "", [EMPTY]),
        (f"<tool_call>{PARIS}", "", [CITY_P]),
        ('<tool_call>{"name": "get_w', '<tool_call>{"name": "get_w', NO_CALLS),
        ("plain < text <tool_ \n", "plain < text <tool_ \n", NO_CALLS),
    ],
)
def test_blocks(text: str, content: str, calls: list[dict[str, Any]]) -> None:
    expected = tuple(call(arguments, index) for index, arguments in enumerate(calls))
    assert run(BlockParser(NAMES), [text]) == Parsed(content, calls=expected)


_BLOCKS = ("<tool_call>", "</tool_call>", "<tool", "</", PARIS, ROME, " ", "\n", "a", "{}")


@given(_cut(_BLOCKS))
def test_blocks_do_not_depend_on_the_cuts(texts: tuple[str, list[str]]) -> None:
    whole, pieces = texts
    assert run(BlockParser(NAMES), pieces) == run(BlockParser(NAMES), [whole])


# -- what may vanish --------------------------------------------------------------------------------------------------

WORDS = ("word", "get", "weather", " ", "\n", "<", "[", "{", '"')


@given(
    st.lists(st.sampled_from([*WORDS, *_BLOCKS, "nope", "<c>", NOPE, QUOTED, LIST]), max_size=14), st.integers(0, 60)
)
@pytest.mark.parametrize("tag", ["<c>", "{", "[", "<tool_call>"])
def test_without_a_call_nothing_vanishes(tag: str, texts: list[str], cut: int) -> None:
    """Not a letter of what a model wrote; blanks in front of blocks do, and at the end."""
    text = "".join(texts)
    for parser in (ToolCallParser(tag, NAMES), BlockParser(NAMES)):
        parsed = run(parser, [text[:cut], text[cut:]])
        if not parsed.calls:
            assert "".join(parsed.content.split()) == "".join(text.split())


@given(st.lists(st.sampled_from([PARIS, ROME, NOPE, QUOTED, LIST, "</c>", "<c>", " ", "\n", ", "]), max_size=10))
def test_beside_calls_every_object_comes_out_as_a_call_or_as_content(texts: list[str]) -> None:
    """Between and behind the calls only text that is no object vanishes."""
    parsed = run(ToolCallParser("<c>", NAMES), ["<c>", *texts, PARIS])
    objects = [text for text in texts if text in (NOPE, QUOTED, LIST)]
    assert parsed.content == "".join(objects)
    assert len(parsed.calls) == 1 + sum(text in (PARIS, ROME) for text in texts)


@given(_cut(_THOUGHTS), st.booleans())
def test_reasoning_loses_two_tags_at_most(texts: tuple[str, list[str]], opened: bool) -> None:
    whole, pieces = texts
    parsed = run(ThinkingParser("<think>", "</think>", opened=opened), pieces)
    lost = len("".join(whole.split())) - len("".join((parsed.thinking + parsed.content).split()))
    assert lost in (0, len("<think>"), len("</think>"), len("<think></think>"))


# -- the parser of an answer ------------------------------------------------------------------------------------------

GO = Template.parse(
    "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}"
    "{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}{{ . }}{{ end }}{{ end }}{{ end }}{{ .Tools }}"
)
JINJA = "{{ '<think>' }}{{ '</think>' }}{{ '<tool_call>' }}"
TOOLS = [Tool("function", name="get_weather")]
ANSWER = f"<think>hm</think>text {_block(PARIS)}"


def _parts(parser: OutputParser, text: str) -> tuple[Parsed, Parsed]:
    return parser.feed(text), parser.finish()


def test_a_go_template_tells_tags_and_tool_tag() -> None:
    parser = parsers_for(TemplateMode.GO, GO, TOOLS, True)
    fed, rest = _parts(parser, ANSWER)
    assert (fed.thinking, fed.content, rest) == ("hm", "text ", Parsed())
    (found,) = fed.calls
    assert found.arguments == CITY_P
    assert found.id.startswith("call_")
    assert len(found.id) == 13
    assert parser.preserved == ["<think>", "</think>", "<tool_call>"]
    assert parser.thoughts(True)


def test_without_thinking_and_tools_the_text_is_the_answer() -> None:
    for parser in (parsers_for(TemplateMode.GO, GO, [], False), OutputParser(), parsers_for(TemplateMode.NONE, None)):
        assert _parts(parser, ANSWER) == (Parsed(ANSWER), Parsed())
        assert parser.preserved == []


def test_the_prompt_may_open_the_thinking() -> None:
    for parser in (
        parsers_for(TemplateMode.GO, GO, [], "high", "…<think>\n"),
        parsers_for(TemplateMode.JINJA, JINJA, [], True, "…<think>\n"),
    ):
        assert _parts(parser, "why</think>so")[0] == Parsed("so", "why")


def test_native_calls_come_last_with_long_ids() -> None:
    fed, rest = _parts(parsers_for(TemplateMode.JINJA, JINJA, TOOLS, None), ANSWER)
    assert fed == Parsed("text", "hm")
    assert [(found.name, found.arguments, found.index) for found in rest.calls] == [("get_weather", CITY_P, 0)]
    assert rest.calls[0].id.isalnum()
    assert len(rest.calls[0].id) == 32


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("tools [TOOL_CALLS]", f"[TOOL_CALLS][{PARIS}]"),
        ("tools", f"{PARIS}"),
        ("<|tool_call|>", f"<|tool_call|>[{PARIS}]"),
    ],
)
def test_native_calls_without_blocks(template: str, text: str) -> None:
    fed, rest = _parts(parsers_for(TemplateMode.JINJA, template, TOOLS, None), text)
    assert fed == Parsed()
    assert [found.arguments for found in rest.calls] == [CITY_P]


HARMONY = "{{ '<|start|>' }}{{ '<|message|>' }}{{ '<|end|>' }}"


def test_a_native_template_of_harmony_is_read_as_such() -> None:
    text = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>so"
    said = '<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather<|message|>{"city": "Paris"}'
    parser = parsers_for(TemplateMode.JINJA, HARMONY, TOOLS, True)
    fed, rest = _parts(parser, text + said)
    assert fed == Parsed("so", "hm")
    assert [(found.name, found.arguments, len(found.id)) for found in rest.calls] == [("get_weather", CITY_P, 32)]
    assert "<|channel|>" in parser.preserved


def test_a_family_hands_out_the_calls_of_a_completion_at_its_end_without_ids() -> None:
    text = f"Hi {_block(PARIS)} bye"
    for chat, in_time, length in ((True, 1, 13), (False, 0, 0)):
        parser = family_parser(FAMILIES["qwen3"], (), None, None, chat=chat)
        fed, rest = _parts(parser, text)
        assert fed.content + rest.content == "Hibye"
        assert len(fed.calls) == in_time
        assert [len(found.id) for found in (*fed.calls, *rest.calls)] == [length]


def test_a_native_template_without_thinking_has_none() -> None:
    assert _parts(parsers_for(TemplateMode.JINJA, "{{ messages }}"), ANSWER)[0].content == ANSWER


def _both() -> OutputParser:
    return OutputParser(ThinkingParser("<think>", "</think>"), ToolCallParser("{", NAMES), new_id=lambda: "id")


@given(_cut((*_THOUGHTS, *_CALLS)), st.sampled_from([_both, lambda: parsers_for(TemplateMode.JINJA, JINJA, [], None)]))
def test_an_answer_does_not_depend_on_the_cuts(texts: tuple[str, list[str]], make: Callable[[], OutputParser]) -> None:
    whole, pieces = texts
    assert run(make(), pieces) == run(make(), [whole])


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=4)
)
def test_any_arguments_survive(arguments: dict[str, Any]) -> None:
    text = json.dumps({"name": "get_weather", "arguments": arguments}, ensure_ascii=False)
    assert run(ToolCallParser("{", ["get_weather"]), [text]).calls == (call(arguments),)
    assert run(BlockParser(["get_weather"]), [_block(text)]).calls == (call(arguments),)
