"""Numbers as text, the way the reference prints them.

JSON and the parameter listing want the fewest digits that lead back to the same value, but choose between plain and
exponent form at other places than Python does. A float32 is kept as the Python float nearest to its shortest decimal
text: it prints like the float32, whoever prints it, and rounds to the very same one.
"""

import math
import struct
from decimal import Decimal
from typing import Final

FLOAT32_MAX: Final = 3.4028234663852886e38
FLOAT32_OVERFLOW: Final = 3.4028235677973366e38
"""From here on a number is too large to be rounded to a float32."""
_FLOAT32_TINY: Final = 1.1754943508222875e-38
_F32: Final = struct.Struct("<f")


def float32(value: float) -> float:
    """The float32 next to a number, as the float that prints with its digits; finite values stay finite."""
    if not math.isfinite(value):
        return value
    if abs(value) >= FLOAT32_OVERFLOW:
        return math.copysign(FLOAT32_MAX, value)
    (exact,) = _F32.unpack(_F32.pack(value))
    # Six digits survive the way through a normal float32, so a text of six or fewer is the shortest if it leads back.
    for digits in range(6 if abs(exact) >= _FLOAT32_TINY else 1, 9):
        shorter = float(f"{exact:.{digits}g}")
        if _rounded(shorter) == exact:
            return shorter
    return float(f"{exact:.9g}")


def _rounded(value: float) -> float:
    """The float32 nearest to a number; infinity beyond the largest."""
    try:
        return _F32.unpack(_F32.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def double(value: float) -> float:
    """A number as a float; an integer beyond all floats becomes infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def json_number(value: float) -> str:
    """As in the reference's JSON: exponents below 1e-6 and from 1e21 on, no `.0`. Raises `ValueError` if not finite."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is no JSON number")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return _plain(value)
    return _exponent(value, 1)


def listed_number(value: float) -> str:
    """As in the list of a model's parameters: exponents below 1e-4 and from 1e6 on, with two digits at least."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return _plain(value)
    return _exponent(value, 2)


def parameter_size(count: int) -> str:
    """A number of weights in the form `3.2B`, `125M`, `27K`."""
    if count >= 1_000_000_000:
        return f"{count / 1e9:.{0 if count % 1_000_000_000 == 0 else 1}f}B"
    if count >= 1_000_000:
        return f"{count / 1e6:.{0 if count % 1_000_000 == 0 else 2}f}M"
    return f"{count / 1e3:.0f}K" if count >= 1000 else str(count)


def _plain(value: float) -> str:
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _exponent(value: float, width: int) -> str:
    sign, digits, last = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(last, int)
    text = "".join(map(str, digits))
    power = last + len(text) - 1
    mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):0{width}d}"
