"""Calls as Python writes them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.messages import ToolCall
from server.parse.families.pythonic import read_call


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("f()", {}), ("f( )", {}), ("f(a=1,)", {"a": 1}), ("f(b = 1, a=-2.5)", {"b": 1, "a": -2.5}),
        ("f(a=1e3, b=+7, c=007, d=3.0)", {"a": 1000, "b": 7, "c": 7, "d": 3}),
        ("f(a=1.2.3, b=--1, c=1e999, d=-inf)", {"a": "1.2.3", "b": "--1", "c": "1e999", "d": "-inf"}),
        ("f(a=true, b=True, c=false, d=False)", {"a": True, "b": True, "c": False, "d": False}),
        ("f(a=null, b=None, c=nil, d=NULL)", {"a": None, "b": None, "c": None, "d": "NULL"}),
        ("f(a=\"x, y\", b='(', c=\"it's\")", {"a": "x, y", "b": "(", "c": "it's"}),
        (r'f(a="\"\\\n\t\r\'\q\u003c\ud83d")', {"a": "\"\\\n\t\r'\\q<\\ud83d"}),
        ("f(a=[], b={}, c=[1, [2, 'x,']], d={k: 1, \"l:\": {'m': null}})",
         {"a": [], "b": {}, "c": [1, [2, "x,"]], "d": {"k": 1, "l:": {"m": None}}}),
        ("f(a=free text, b=g(1, 2), c=, d=x=y)", {"a": "free text", "b": "g(1, 2)", "c": "", "d": "x=y"}),
        ("f(a=\"open, b=1)", {"a": "\"open, b=1"}), ("f(a=\")", {"a": "\""}), ("f(with space=1)", {"with space": 1}),
        ("f(a=1, a=2)", {"a": 2}), ("f(a=[1, 2)", {"a": "[1, 2"}),
    ],
)  # fmt: skip
def test_arguments(text: str, arguments: dict[str, Any]) -> None:
    call = read_call(text)
    assert call == ToolCall("f", arguments)
    assert call is not None
    assert list(call.arguments) == list(arguments)


@pytest.mark.parametrize(
    "text",
    ["", "f", "f(", "()", "f(1)", "f(a)", "f(=1)", "f('a=b')", "f() g", "two words()", "f(a={1})", "f(a={:1}",
     f"f(a={'[' * 100}{']' * 100})", f"f(a={'{a:' * 100}{'}' * 100})"],
)  # fmt: skip
def test_what_is_no_call(text: str) -> None:
    assert read_call(text) is None


@pytest.mark.parametrize("name", ["get_weather", "send-mail", "math.add"])
def test_names(name: str) -> None:
    assert read_call(f"{name}(a=1)") == ToolCall(name, {"a": 1})


@pytest.mark.parametrize("character", list("[{(\"':\\"))
def test_long_texts_are_read_in_time(character: str) -> None:
    call = read_call(f"f(a={character * 99_999})")
    assert call is not None
    assert len(call.arguments["a"]) in (99_999, 99_997)


@settings(deadline=None)
@given(st.text(alphabet="fab=,:()[]{}\"'\\ 1.e-\n", max_size=60))
def test_anything_may_be_read(text: str) -> None:
    read_call(text)
    read_call(f"f(a={text})")
