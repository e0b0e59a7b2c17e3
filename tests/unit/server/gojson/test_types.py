"""Type errors: the first complaint counts, unless a type that decodes itself ends the decoding."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gojson.decode import decode
from server.gojson.types import ANY, BOOL, IMAGE, INT, RAW, STRING, Custom, ListOf, MapOf, Object
from server.gojson.walk import DecodeError


@dataclass
class Inner:
    word: str = ""
    number: int = 0


@dataclass
class Outer:
    text: str = ""
    flag: bool = False
    numbers: list[int] | None = None
    free: Any = None
    raw: str = ""
    inner: Inner = field(default_factory=Inner)
    own: Inner = field(default_factory=Inner)
    words: dict[str, str] = field(default_factory=dict[str, str])
    picture: bytes = b""


INNER = Object("Inner", Inner, {"word": STRING, "number": INT})
OUTER = Object(
    "Outer",
    Outer,
    {
        "text": STRING,
        "flag": BOOL,
        "numbers": ListOf(INT),
        "free": ANY,
        "raw": RAW,
        "inner": INNER,
        "own": Custom(INNER),
        "words": MapOf(STRING),
        "picture": IMAGE,
    },
)


def refusal(body: str) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(body.encode(), OUTER)
    return str(caught.value)


def test_decodes_every_kind_of_member() -> None:
    body = b'{"text":"a","flag":true,"numbers":[1,-2],"free":{"x":[1.5,null]},"words":{"k":"v"},"picture":"AAEC"}'
    assert decode(body, OUTER) == Outer("a", True, [1, -2], {"x": [1.5, None]}, words={"k": "v"}, picture=b"\0\1\2")


def test_keys_match_in_any_case_and_unknown_ones_are_ignored() -> None:
    assert decode(b'{"TEXT":"a","INNER":{"Word":"b"},"nonsense":{}}', OUTER) == Outer("a", inner=Inner("b"))


@pytest.mark.parametrize("body", [b"null", b"{}", b'{"text":null,"numbers":null,"inner":null,"free":null}', b"{} rest"])
def test_null_and_absent_are_the_default(body: bytes) -> None:
    assert decode(body, OUTER) == Outer()


def test_an_empty_list_differs_from_none() -> None:
    assert decode(b'{"numbers":[]}', OUTER).numbers == []


def test_null_in_a_list_is_the_zero_value() -> None:
    assert decode(b'{"numbers":[null,1]}', OUTER).numbers == [0, 1]


@pytest.mark.parametrize("text", ["5", '"xml"', "[1, 2]", '{"b": 1.0,\n"a": [true]}', "1e2"])
@pytest.mark.parametrize("key", ["raw", "RAW"])
@pytest.mark.parametrize("rest", ["", " {}"])
def test_raw_members_keep_their_text(text: str, key: str, rest: str) -> None:
    """Whichever way the body is read: well-formed, or with something behind it."""
    assert decode(f'{{"text":"a","{key}": {text} }}{rest}'.encode(), OUTER).raw == text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "json: cannot unmarshal array into Go value of type api.Outer"),
        ("5", "json: cannot unmarshal number into Go value of type api.Outer"),
        ('{"text":5}', "json: cannot unmarshal number into Go struct field Outer.text of type string"),
        ('{"flag":"x"}', "json: cannot unmarshal string into Go struct field Outer.flag of type bool"),
        ('{"numbers":{}}', "json: cannot unmarshal object into Go struct field Outer.numbers of type []int"),
        ('{"numbers":[1.50]}', "json: cannot unmarshal number 1.50 into Go struct field Outer.numbers of type int"),
        ('{"numbers":[9223372036854775808]}',
         "json: cannot unmarshal number 9223372036854775808 into Go struct field Outer.numbers of type int"),
        ('{"free":[1e999]}', "json: cannot unmarshal number 1e999 into Go struct field Outer.free of type float64"),
        ('{"words":{"k":1}}', "json: cannot unmarshal number into Go struct field Outer.words of type string"),
        ('{"words":[]}', "json: cannot unmarshal array into Go struct field Outer.words of type map[string]string"),
        ('{"inner":{"word":1}}', "json: cannot unmarshal number into Go struct field Inner.inner.word of type string"),
        ('{"own":{"word":1}}', "json: cannot unmarshal number into Go struct field Outer.own.word of type string"),
        ('{"own":"x"}', "json: cannot unmarshal string into Go struct field Outer.own of type api.Inner"),
        ('{"picture":1}', "json: cannot unmarshal number into Go struct field Outer.picture of type api.ImageData"),
        ('{"picture":[256]}', "json: cannot unmarshal number 256 into Go struct field Outer.picture of type uint8"),
        ('{"picture":"%"}', "illegal base64 data at input byte 0"),
        ("", "missing request body"),
        (" \n", "missing request body"),
        ("{", "unexpected EOF"),
    ],
)  # fmt: skip
def test_errors_have_gos_words(body: str, message: str) -> None:
    assert refusal(body) == message


def test_the_first_complaint_counts() -> None:
    assert "Outer.text" in refusal('{"text":1,"flag":1}')


def test_a_type_that_decodes_itself_outranks_an_earlier_complaint() -> None:
    assert "Outer.own.number" in refusal('{"text":1,"own":{"number":"x"},"flag":1}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["text", "flag", "numbers", "free", "inner", "own", "words", "picture"]), JSON))
def test_the_quick_and_the_careful_way_agree(members: dict[str, Any]) -> None:
    """A well-formed body gives the same with and without something behind it, which only the careful way takes."""
    import json

    body = json.dumps(members).encode(errors="replace")
    results: list[object] = []
    for text in (body, body + b" x"):
        try:
            results.append(decode(text, OUTER))
        except DecodeError as error:
            results.append(str(error))
    assert results[0] == results[1]
