"""Texts cut into tokens, and what is made of tokens, printed and read again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelstore.template import Limits, TemplateError, TemplateSyntaxError
from modelstore.template.functions import ALL
from modelstore.template.lexer import Kind, Token, tokens
from modelstore.template.nodes import Action
from modelstore.template.parser import parse
from modelstore.template.program import Program

_PIECES = st.sampled_from(
    ["{{", "}}", "{{- ", " -}}", "{{/*", "*/}}", "/*", "*/", " ", "\n", "\t", "\r", "\u00a0", "a", ".A", ".", "$", "$x",
     ":=", "=", ":", "|", "(", ")", ",", '"a"', '"', "`", "`b`", "'", "'c'", "\\", "1", "0x1F", "1_0", "1e6", ".5",
     "1e", "-", "+", "1i", "é", "π", "end", "if", "else", "range", "with", "define", "block", "template", "break",
     "nil", "true", "len", "nope", "#", "\0", "\ud800", "😀"]
)  # fmt: skip
TEXTS = st.lists(_PIECES, max_size=20).map("".join) | st.text(max_size=60)


@given(TEXTS)
def test_any_text_is_cut_into_pieces_of_itself(text: str) -> None:
    """In order, none overlapping; an error is a token too, the last one."""
    found = list(tokens(text))
    done = 0
    for token in found[:-1]:
        assert token.kind not in (Kind.EOF, Kind.ERROR)
        assert text.startswith(token.text, token.pos)
        assert token.pos >= done
        done = token.pos + len(token.text)
    assert found[-1].kind in (Kind.EOF, Kind.ERROR)
    assert all(isinstance(str(token), str) for token in found)


@given(TEXTS)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Nothing but the error of this package is raised; it names a line of the text."""
    line, message = 1, "template: :1: "
    try:
        parse(text, ALL.keys())
    except TemplateSyntaxError as error:
        line, message = error.line, error.message
    assert message.startswith(f"template: :{line}: ")
    assert 1 <= line <= 1 + text.count("\n")


@given(st.text(st.characters(exclude_characters="{")))
def test_text_without_actions_is_one_token(text: str) -> None:
    expected = [Token(Kind.TEXT, text, 0)] if text else []
    assert list(tokens(text)) == [*expected, Token(Kind.EOF, "", len(text))]


# -- made-up templates ------------------------------------------------------------------------------------------------

_CONSTANTS = st.sampled_from(
    ["1", "-2", "1.5", "'c'", "true", "nil", ".", "$", ".A", ".A.B", "$.A", '"t"', "`r`", "print"]
)
_NAMES = st.sampled_from(sorted(ALL))


def _call(operands: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(_NAMES, st.lists(operands, max_size=3)).map(lambda made: " ".join((made[0], *made[1])))


def _pipe(operands: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(_call(operands), min_size=1, max_size=3).map(" | ".join)


OPERANDS = st.recursive(_CONSTANTS, lambda inner: _pipe(inner).map("({})".format), max_leaves=6)
PIPES = _pipe(OPERANDS)


def _in_branch(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    words = st.sampled_from(["if ", "with ", "range ", "range $i, $e := ", "with $x := "])
    parts = st.tuples(words, PIPES, inner, inner)
    return parts.map(lambda made: f"{{{{ {made[0]}{made[1]} }}}}{made[2]}{{{{- else -}}}}{made[3]}{{{{ end }}}}")


_LEAVES = PIPES.map("{{{{ {} }}}}".format) | st.sampled_from(["text ", "\n", "{{ break }}", "{{ $x := 1 }}{{ $x }}"])
TEMPLATES = st.recursive(_LEAVES, lambda inner: _in_branch(inner) | st.tuples(inner, inner).map("".join), max_leaves=8)


@settings(max_examples=40)
@given(PIPES)
def test_what_is_parsed_can_be_printed_and_parsed_again(pipe: str) -> None:
    """The printed form, which errors quote, says the same."""
    (first,), _ = parse(f"{{{{ {pipe} }}}}", ALL.keys())
    (again,), _ = parse(str(first), ALL.keys())
    assert isinstance(first, Action)
    assert str(again) == str(first)


@settings(max_examples=40)
@given(TEMPLATES, st.dictionaries(st.sampled_from("AB"), st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_any_template_renders_or_fails_properly(text: str, values: dict[str, object]) -> None:
    """With the errors of this package, which begin alike; and the same way each time."""
    first, failure = _rendered(text, values)
    assert (first, failure) == _rendered(text, values)
    assert not failure or failure.startswith("template: ")


def _rendered(text: str, values: dict[str, object]) -> tuple[str, str]:
    """The output, and the error."""
    try:
        root, definitions = parse(text, ALL.keys())
        return Program(text, root, definitions, ALL).run(values, Limits(steps=3000, output=10_000)), ""
    except TemplateError as error:
        return "", error.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" \t\r\n{{- 1 -}} \t\r\n", ["{{", "1", "}}"]),
        ("\u00a0{{- 1 -}}\u00a0", ["\u00a0", "{{", "1", "}}", "\u00a0"]),
        ("a {{-3}} b", ["a ", "{{", "-3", "}}", " b"]),
        ("a {{- /* x\n*/ -}} b", ["a", "b"]),
        ("{{$x.A.B}}", ["{{", "$x", ".A", ".B", "}}"]),
        ("{{é.ü}}", ["{{", "é", ".ü", "}}"]),
        ("{ } }} {", ["{ } }} {"]),
    ],
)
def test_tokens_of_a_text(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokens(text) if token.kind not in (Kind.EOF, Kind.SPACE)] == expected
