"""Modelfiles printed: what was read from one is printed so that it reads the same, anything else is refused."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelstore.errors import ModelfileError
from modelstore.modelfile import Command, Modelfile

WORDS = (
    "from", "FROM", "system", "TEMPLATE", "message", "MESSAGE user", "message assistant", "license", "PARAMETER stop",
    "parameter ", "parameter message", "PARAMETER model", "PARAMETER from", "adapter", "draft", "renderer", "requires",
)  # fmt: skip
ODD = '"\n\r\t #:ab'
"""What quoting, lines and comments are made of."""
INVISIBLE = "\x00\x07\x0b\x0c\x1b\x85\u00a0\u200b\u200d\u2028\u2029\u3000\ufeff\ue000\U0010ffff"


def written(text: str) -> str:
    return str(Modelfile((Command("model", "m"), Command("system", text)))).partition("\n")[2]


# -- the identity -----------------------------------------------------------------------------------------------------

values = st.text(st.sampled_from(ODD), max_size=12) | st.text(max_size=12)
sources = st.lists(st.tuples(st.sampled_from(WORDS), values), max_size=6).map(
    lambda commands: "FROM m\n" + "".join(f"{word} {value}\n" for word, value in commands)
)


@given(sources | st.text(st.sampled_from('FROMfrom SYSTEM PARAMETER MESSAGE user "\n\r\t#:x1-'), max_size=60))
@example('FROM m\nSYSTEM """"hi" she said"""')
@example('FROM "  m  "\nFROM """a\nb"""')
@example("FROM m\nPARAMETER  x\nPARAMETER message x\nPARAMETER model y\nPARAMETER system z")
@example('FROM m\nMESSAGE user """\n\n"""\nMESSAGE user : x\nMESSAGE user')
def test_what_was_read_is_printed_so_that_it_reads_the_same(source: str) -> None:
    try:
        modelfile = Modelfile.parse(source)
    except ModelfileError:
        return
    assert Modelfile.parse(str(modelfile)) == modelfile
    assert Modelfile.parse(str(modelfile).encode()) == modelfile


@given(st.sampled_from(("model", "system", "license", "message", "stop", "num_ctx", "")), values)
def test_any_text_is_printed_so_that_it_reads_the_same_or_is_refused(name: str, text: str) -> None:
    args = f"user: {text}" if name == "message" else text
    modelfile = Modelfile((Command("model", "m"), Command(name, args)))
    try:
        printed = str(modelfile)
    except ModelfileError:
        assert not is_held(text)
    else:
        assert Modelfile.parse(printed) == modelfile


def is_held(text: str) -> bool:
    """The same judgement from the grammar: a quote keeps a text if no line of it but the last ends with the quote."""
    if re.search(f"[{INVISIBLE}]", text) or any(not char.isprintable() and char not in "\t\r\n" for char in text):
        return False
    lines = [line.rstrip(" \t") for line in re.split("[\r\n]", text)]
    if len(lines) == 1 and lines[0] == text and text == text.lstrip(" \t") and not text.startswith('"'):
        return True
    three = [f'"""{lines[0]}', *lines[1:]]
    if not any(line.endswith('"""') and (number or len(line) > 5) for number, line in enumerate(three[:-1])):
        return True
    one = [f'"{lines[0]}', *lines[1:]]
    early = any(line.endswith('"') and (number or len(line) > 1) for number, line in enumerate(one[:-1]))
    return not early and not text.startswith('""') and text != '"'


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "SYSTEM \n"),
        ("plain", "SYSTEM plain\n"),
        ("a # b", "SYSTEM a # b\n"),
        ('say "x"', 'SYSTEM say "x"\n'),
        ("a\nb", 'SYSTEM "a\nb"\n'),
        (' "a" ', 'SYSTEM """ "a" """\n'),
        (" a", 'SYSTEM " a"\n'),
        ("\ta\t", 'SYSTEM "\ta\t"\n'),
        ("a\rb", 'SYSTEM "a\rb"\n'),
        ('"hi" she said', 'SYSTEM """"hi" she said"""\n'),
        ('"', 'SYSTEM """""""\n'),
        ('""', 'SYSTEM """"""""\n'),
        ('a"""b', 'SYSTEM a"""b\n'),
        ('a"""b\nc', 'SYSTEM """a"""b\nc"""\n'),
        ('a"\nb', 'SYSTEM """a"\nb"""\n'),
        ("日本 é", "SYSTEM 日本 é\n"),
    ],
)
def test_the_reference_form_stands_wherever_it_reads_back(text: str, line: str) -> None:
    assert written(text) == line


@pytest.mark.parametrize("text", [*INVISIBLE, "\x7f", "a\u200db", "\ud800", 'a"""\nb', 'a\n"""\n'])
def test_what_no_modelfile_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ModelfileError, match=r"system .* cannot be written in a Modelfile"):
        written(text)


def test_a_command_alone_is_shown_even_so() -> None:
    """As the reference shows it: the model can still be looked at."""
    assert str(Command("system", "a\u200db")) == "SYSTEM a\u200db"
    assert str(Command("message", "tool: x")) == "MESSAGE tool x"


def test_large_integers_as_they_are_shown_are_read_again() -> None:
    lines = ("num_ctx 1.048576e+06", "seed 1e+06", "seed -2e+09", "top_k 1e+10")
    text = "FROM m\n" + "".join(f"PARAMETER {line}\n" for line in lines)
    assert Modelfile.parse(text).to_request()["parameters"] == {
        "num_ctx": 1048576,
        "seed": -2_000_000_000,
        "top_k": 10_000_000_000,
    }
