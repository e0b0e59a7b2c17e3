"""Grammars in GBNF that the engine may be given, and what it must be spared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.constrain.outline import outline
from scheduler.runner.engine.grammar import GrammarError

JSON = r"""
# JSON, as grammars of it are written
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (
             string ":" ws value
             ("," ws string ":" ws value)*
           )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws     ::= | " " | "\n" [ \t]{0,20}
"""


def test_rules_and_tokens_are_found() -> None:
    found = outline(JSON)
    assert {"root", "value", "object", "array", "string", "number", "ws"} <= found.rules.keys()
    assert outline('root ::= <think> !<[12]> "a" # end').tokens == {"<think>", "<[12]>"}


@pytest.mark.parametrize(
    "source",
    [
        'root ::= "a"',
        'root ::=\n  "a"\n',
        'root::="a"|b\nb::=[a-z]+.',
        'root ::= ("a"\n | "b")\n\n# nothing\nother ::= ""\n',
        'root ::= "a" root | "b"',
        'root ::= ("a"? "b"){2,5} [^\\]]{3,} "\\U0001F600"',
        'root ::= x*\nx ::= "a"?',
        'root ::= "a"?' + ' "b"? "c"? "d"? "e"?' * 10,
        "root ::= []",
    ],
)
def test_what_is_taken(source: str) -> None:
    outline(source)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "no rule named root"),
        ('start ::= "a"', "no rule named root"),
        ('root ::= "a"\nroot2 ::= nowhere', "line 2: there is no rule named nowhere"),
        ('root = "a"', "line 1: expected ::="),
        ('root ::= "a', "line 1: no end"),
        ("root ::= [a", "no ]"),
        ('root ::= ("a"', "expected )"),
        ('root ::= "a" )', "cannot stand here"),
        ('root ::= "a"\n\n"b"', "line 3: expected the name of a rule"),
        (r'root ::= "\q"', "no escape"),
        (r'root ::= "\x4"', "no escape"),
        ('root ::= "a"{', "expected {m}"),
        ('root ::= "a"{2,1}', "repetitions"),
        ('root ::= "a"{9999}', "repetitions"),
        ('root ::= ("a"{1000}){1000}', "too large"),
        ("root ::= <think", "expected <token>"),
        ('root ::= "\0"', "zero byte"),
        ('root ::= root "a" | "b"', "left recursion"),
        ('root ::= x root "a" | "b"\nx ::= y\ny ::= "" | "c"', "left recursion"),
        ('root ::= ("x"* root "a")', "left recursion"),
        ("root ::= a\na ::= b\nb ::= c\nc ::= a", "left recursion"),
        ('root ::= ("a"?){1000} "b"', "begin alike"),
        ("root ::= " + '"a"? ' * 100, "begin alike"),
        ("root ::= " + "(" * 5000, "parentheses"),
        ('root ::= "' + "a" * 70_000 + '"', "too large"),
    ],
)  # fmt: skip
def test_what_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(GrammarError) as caught:
        outline(source)
    assert complaint in str(caught.value)


def test_beginnings_that_double_with_every_rule_are_refused() -> None:
    """The engine walks them all: 2 to the power of 40."""
    rules = "".join(f"a{n} ::= a{n + 1} | a{n + 1}\n" for n in range(40))
    with pytest.raises(GrammarError, match="too many ways"):
        outline(f'root ::= a0\n{rules}a40 ::= "x"')


@pytest.mark.timeout(20)
def test_long_chains_of_rules_take_no_stack_and_no_time() -> None:
    rules = "".join(f"a{n} ::= a{n + 1}\n" for n in range(3000))
    outline(f'root ::= a0 "x"\n{rules}a3000 ::= "x"?')


@given(st.text('root:=| "a\\[]()*+?{},1-^.<>!#\n'))
def test_any_text_is_read_or_refused(source: str) -> None:
    for whole in (source, f"root ::= {source}"):
        try:
            found = outline(whole)
        except GrammarError:
            continue
        assert "root" in found.rules
