"""Base64 of pictures: what Go takes is taken, and its offsets are ours."""

import base64 as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gojson.base64 import CorruptInput, decode


@given(st.binary(), st.integers(1, 80))
def test_takes_what_is_encoded_with_or_without_line_breaks(data: bytes, width: int) -> None:
    text = reference.b64encode(data).decode()
    lines = "\r\n".join(text[at : at + width] for at in range(0, len(text), width))
    assert decode(text) == decode(lines) == data


@given(st.text("AQgw=\n+/%", max_size=12))
def test_refuses_with_an_offset_inside_the_text(text: str) -> None:
    offset = 0
    try:
        decode(text)
    except CorruptInput as error:
        offset = error.offset
    assert 0 <= offset <= len(text)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("data:image/png;base64,AAAA", 4),
        ("%%%", 0),
        ("AAA", 0),
        ("AAAAA", 4),
        ("A===", 1),
        ("AA=A", 2),
        ("AA=", 3),
        ("AA==A", 4),
        ("AAA=A", 4),
        ("é", 0),
    ],
)
def test_offsets_are_those_of_go(text: str, offset: int) -> None:
    with pytest.raises(CorruptInput) as caught:
        decode(text)
    assert str(caught.value) == f"illegal base64 data at input byte {offset}"
