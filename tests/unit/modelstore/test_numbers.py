"""Numbers as text."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.numbers import float32, json_number, listed_number, parameter_size


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float32_prints_short_and_rounds_back(value: float) -> None:
    """The text of the result has no more digits than are needed, and is the same float32."""
    short = float32(value)
    assert struct.pack("<f", short) == struct.pack("<f", value)
    digits = next(n for n in range(1, 10) if is_float32(float(f"{value:.{n}g}"), value))
    assert float(f"{short:.{digits}g}") == short


def is_float32(text: float, value: float) -> bool:
    try:
        return struct.pack("<f", text) == struct.pack("<f", value)
    except OverflowError:  # rounded up beyond the largest
        return False


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.10000000149011612, 0.1),
        (9.999999747378752e-06, 1e-05),
        (16777216.0, 16777216.0),
        (0.7, 0.7),
        (3.4028234663852886e38, 3.4028235e38),
        (1e300, 3.4028234663852886e38),
        (-1e300, -3.4028234663852886e38),
        (0.0, 0.0),
    ],
)
def test_float32_known(value: float, printed: float) -> None:
    """Known values; what is too large becomes the largest."""
    assert struct.pack("<f", float32(value)) == struct.pack("<f", printed)
    assert float32(value) == printed or abs(value) > 3e38


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (4096.0, "4096"),
        (0.7, "0.7"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e-9, "1.5e-9"),
        (-0.0, "-0"),
        (1.048576e6, "1048576"),
        (123456789.125, "123456789.125"),
    ],
)
def test_json_number(value: float, text: str) -> None:
    """Exponents only far out, and never a `.0`."""
    assert json_number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_texts_read_back(value: float) -> None:
    """No digit is lost."""
    assert float(json_number(value)) == value
    assert float(listed_number(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_json_for_what_is_no_number(value: float) -> None:
    """NaN and infinities have no JSON form."""
    with pytest.raises(ValueError):
        json_number(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7, "0.7"),
        (4096.0, "4096"),
        (262144.0, "262144"),
        (1e6, "1e+06"),
        (1048576.0, "1.048576e+06"),
        (0.00001, "1e-05"),
        (0.0001, "0.0001"),
        (-2.5e-7, "-2.5e-07"),
        (1e100, "1e+100"),
        (0.0, "0"),
    ],
)
def test_listed_number(value: float, text: str) -> None:
    """Exponents from a million up and below a ten-thousandth, with two digits."""
    assert listed_number(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1001, "1K"),
        (125_000_000, "125M"),
        (500_550_000, "500.55M"),
        (2_850_000_000, "2.9B"),
        (10**12, "1000B"),
        (3_212_749_888, "3.2B"),
        (26848, "27K"),
        (3_607_296, "3.61M"),
        (146_816, "147K"),
    ],
)
def test_parameter_size(count: int, text: str) -> None:
    """Thousands, millions and billions of weights."""
    assert parameter_size(count) == text
