"""Go's durations, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gojson.duration import MAX_NANOSECONDS, InvalidDuration, format_nanoseconds, parse


@given(st.integers(-MAX_NANOSECONDS, MAX_NANOSECONDS))
def test_what_is_formatted_reads_back(nanoseconds: int) -> None:
    assert parse(format_nanoseconds(nanoseconds)) == nanoseconds


@given(st.text("0123456789.nuµmsh+- x", max_size=10))
def test_every_text_is_read_or_refused(text: str) -> None:
    message = "time: "
    try:
        parse(text)
    except InvalidDuration as error:
        message = str(error)
    assert message.startswith("time: ")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("+0", 0), ("-0", 0), ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), (".5s", 0.5), ("-1m", -60)],
)
def test_reads(text: str, seconds: float) -> None:
    assert parse(text) == seconds * 1e9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", 'time: missing unit in duration "10"'),
        ("-1", 'time: missing unit in duration "-1"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("", 'time: invalid duration ""'),
        ("abc", 'time: invalid duration "abc"'),
        (".s", 'time: invalid duration ".s"'),
        ("1é", r'time: unknown unit "\xc3\xa9" in duration "1\xc3\xa9"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
    ],
)
def test_refuses_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(InvalidDuration) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0s"), (1, "1ns"), (1500, "1.5µs"), (1234567, "1.234567ms"), (90 * 10**9, "1m30s"), (3600 * 10**9, "1h0m0s")],
)
def test_formats(nanoseconds: int, text: str) -> None:
    assert format_nanoseconds(nanoseconds) == text
