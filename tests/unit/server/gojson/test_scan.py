"""The scanner takes exactly what JSON is, and words its complaints as Go does."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gojson.scan import MAX_DEPTH, EmptyText, Number, ScanError, UnexpectedEnd, scan

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def plain(value: Any) -> Any:
    """Scanned numbers as Python numbers."""
    if isinstance(value, Number):
        return json.loads(value.text)
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return [plain(item) for item in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


@given(JSON)
def test_reads_what_json_writes(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    # half pairs cannot be UTF-8; they are read as U+FFFD, tried below
    wanted = json.loads(text.encode(errors="replace").decode())
    assert plain(scan(text.encode(errors="replace")).value) == wanted


@given(JSON, st.binary(max_size=20))
def test_stops_behind_the_first_value(value: Any, rest: bytes) -> None:
    text = b"[" + json.dumps(value).encode() + b"]"
    assert scan(text + rest).value == scan(text).value


@given(st.binary(max_size=60) | st.text('{}[]",:0123456789.eE+-truefalsn\\u \n').map(str.encode))
def test_every_text_is_read_or_refused(text: bytes) -> None:
    try:
        scan(text)
        fine = True
    except ScanError:
        fine = False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    assert fine, "what another parser takes is JSON"


@given(JSON)
def test_every_beginning_of_a_container_is_cut_short(value: Any) -> None:
    text = json.dumps([value]).encode()
    for end in range(1, len(text)):
        with pytest.raises(UnexpectedEnd):
            scan(text[:end])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "invalid character 'h' looking for beginning of value"),
        ("{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ('{"a" "b"}', "invalid character '\"' after object key"),
        ('{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("[01]", "invalid character '1' after array element"),
        ("[+1]", "invalid character '+' looking for beginning of value"),
        ("[-x]", "invalid character 'x' in numeric literal"),
        ("[1.x]", "invalid character 'x' after decimal point in numeric literal"),
        ("[1.5.2]", "invalid character '.' after array element"),
        ("[1ex]", "invalid character 'x' in exponent of numeric literal"),
        ("[1e+x]", "invalid character 'x' in exponent of numeric literal"),
        ("[tru3]", "invalid character '3' in literal true (expecting 'e')"),
        ("[nulL]", "invalid character 'L' in literal null (expecting 'l')"),
        ('["a\nb"]', r"invalid character '\n' in string literal"),
        ('["a\x00b"]', r"invalid character '\x00' in string literal"),
        (r'["\x"]', "invalid character 'x' in string escape code"),
        (r'["\u12g4"]', r"invalid character 'g' in \u hexadecimal character escape"),
        ("\ufeff{}", "invalid character 'ï' looking for beginning of value"),
        ('{"a":', "unexpected EOF"),
        ('"abc', "unexpected EOF"),
        ("-", "unexpected EOF"),
        ("[" * (MAX_DEPTH + 1), "invalid character '[' exceeded max depth"),
    ],
)
def test_complaints_have_gos_words(text: str, message: str) -> None:
    with pytest.raises(ScanError) as caught:
        scan(text.encode())
    assert str(caught.value) == message


@pytest.mark.parametrize("text", [b"", b"  \r\n\t "])
def test_blank_text_has_no_value(text: bytes) -> None:
    with pytest.raises(EmptyText):
        scan(text)


def test_nesting_up_to_the_limit_needs_no_recursion() -> None:
    assert scan(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"\ud800"', "\ufffd"),
        (rb'"\ud800\u0041"', "\ufffdA"),
        (rb'"\udc00x"', "\ufffdx"),
        (b'"\xff\xfe"', "\ufffd\ufffd"),
        (b'"\xed\xa0\x80"', "\ufffd" * 3),
        (rb'"\b\f\n\r\t\/\\\""', '\b\f\n\r\t/\\"'),
    ],
)
def test_strings_are_made_valid(text: bytes, value: str) -> None:
    """Halves of pairs and bytes that are no UTF-8 become U+FFFD, one for each."""
    assert scan(text).value == value


def test_numbers_keep_their_text_and_the_last_member_wins() -> None:
    scanned = scan(b'{"a": 1.50, "b": [-0e5], "a": 2}')
    assert scanned.value == {"a": Number("2"), "b": [Number("-0e5")]}
    start, end = scanned.spans["b"]
    assert b'{"a": 1.50, "b": [-0e5], "a": 2}'[start:end] == b"[-0e5]"
    assert math.isclose(float(scanned.value["a"].text), 2)
