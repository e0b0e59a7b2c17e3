"""How `printf` writes a single value: a text, a number, a character, into a field of some width."""

import math
from dataclasses import dataclass, replace
from typing import Final

from modelstore.numbers import listed_number
from modelstore.quoting import quote

_BASES: Final = {"b": "b", "o": "o", "O": "o", "d": "d", "v": "d", "x": "x", "X": "X"}
_PREFIXES: Final = {"b": "0b", "o": "0", "O": "0", "x": "0x", "X": "0X"}
_MANTISSA: Final = 52
"""Bits of a double behind the point."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What stands between the percent sign and the verb."""

    plus: bool = False
    minus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    plus_v: bool = False
    """`%+v`: records with the names of their fields."""
    sharp_v: bool = False
    """`%#v`: as in the source of a program."""
    width: int | None = None
    precision: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """Where a value is written."""

    flags: Flags

    def format(self, verb: str, value: str | bytes | float) -> str | None:
        """The value; None where the verb does not fit its type."""
        if isinstance(value, bool):
            return self.pad("true" if value else "false") if verb in "vt" else None
        if isinstance(value, str | bytes):
            return self.text(verb, value) if verb in "vsxXq" else None
        if isinstance(value, float):
            return self._float(verb, value)
        if verb in "cqU":
            return self._rune(verb, value)
        return self._integer(value, verb) if verb in _BASES else None

    def pad(self, text: str) -> str:
        """The text, filled up to the width: on its right with blanks, else on its left with blanks or zeros."""
        flags = self.flags
        if flags.width is None:
            return text
        if flags.minus:
            return text.ljust(flags.width)
        return text.rjust(flags.width, "0" if flags.zero else " ")

    def _blank(self) -> "Field":
        return Field(replace(self.flags, zero=False)) if self.flags.zero else self

    # -- texts --------------------------------------------------------------------------------------------------------

    def text(self, verb: str, value: str | bytes) -> str:
        flags = self.flags
        if verb in "xX":
            return self._hexadecimal(verb, value.encode(errors="replace") if isinstance(value, str) else value)
        text = value if isinstance(value, str) else value.decode(errors="replace")
        text = text[: flags.precision]
        if verb == "q" or flags.sharp_v:
            backquotes = (flags.sharp or flags.sharp_v) and _fits_backquotes(text) and not flags.sharp_v
            text = f"`{text}`" if backquotes else _quoted(text, flags.plus)
        return self.pad(text)

    def _hexadecimal(self, verb: str, data: bytes) -> str:
        flags = self.flags
        data = data[: flags.precision]
        prefix = "0x" if flags.sharp and data else ""
        digits = data.hex(" ").replace(" ", f" {prefix}") if flags.space else data.hex()
        text = prefix + digits
        return self.pad(text.upper() if verb == "X" else text)

    # -- numbers ------------------------------------------------------------------------------------------------------

    def _integer(self, value: int, verb: str) -> str:
        flags = self.flags
        digits, least = f"{abs(value):{_BASES[verb]}}", flags.precision
        signed = value < 0 or flags.plus or flags.space
        if least == 0 and value == 0:
            return self._blank().pad("")
        if least is None and flags.zero and not flags.minus and flags.width is not None:
            least = flags.width - signed
        digits = digits.zfill(least or 0)
        prefix = _PREFIXES.get(verb, "") if flags.sharp else ""
        if prefix == "0" and digits.startswith("0"):
            prefix = ""
        if verb == "O":
            prefix = f"0o{prefix}"
        sign = "-" if value < 0 else "+" if flags.plus else " " if flags.space else ""
        return self._blank().pad(sign + prefix + digits)

    def _rune(self, verb: str, value: int) -> str:
        flags = self.flags
        char = chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else "\ufffd"
        if verb == "c":
            return self.pad(char)
        if verb == "q":
            inner = _quoted(char, flags.plus)[1:-1]
            return self.pad("'" + {'\\"': '"', "'": "\\'"}.get(inner, inner) + "'")
        code = f"{value % (1 << 64):X}".zfill(max(4, flags.precision or 0))
        shown = f" '{char}'" if flags.sharp and 0 <= value <= 0x10FFFF and char.isprintable() else ""
        return self._blank().pad(f"U+{code}{shown}")

    def _float(self, verb: str, value: float) -> str | None:
        if verb not in "vgGeEfFxXb":
            return None
        flags = self.flags
        sign = "-" if math.copysign(1, value) < 0 else "+" if flags.plus else " " if flags.space else ""
        if not math.isfinite(value):
            infinite = math.isinf(value)
            sign = sign or ("+" if infinite else "")
            return self._blank().pad(sign + "Inf" if infinite else sign.replace("-", "") + "NaN")
        digits = _digits(verb, abs(value), flags)
        if sign and flags.zero and not flags.minus and flags.width is not None:
            return sign + digits.rjust(flags.width - 1, "0")
        return self.pad(sign + digits)


def _digits(verb: str, value: float, flags: Flags) -> str:
    """A float that is not negative."""
    precision = flags.precision
    match verb:
        case "v" | "g" | "G":
            return _general(verb, value, precision, flags.sharp)
        case "x" | "X":
            text = _hexadecimal(value, precision)
            return text.upper() if verb == "X" else text
        case "b":
            return _binary(value)
        case _:
            point = "#" if flags.sharp else ""
            return f"{value:{point}.{6 if precision is None else precision}{verb}}"


def _general(verb: str, value: float, precision: int | None, sharp: bool) -> str:
    text = listed_number(value)
    if precision is None:
        text = _with_zeros(text, 6) if sharp else text
    elif sharp:
        text = f"{value:#.{precision}g}"
    else:
        text = f"{value:.{_least(value, text, precision)}g}"
    return text.upper() if verb == "G" else text


def _least(value: float, text: str, precision: int) -> int:
    """The precision at which Python chooses the form that Go chooses: Go counts the digits that there are."""
    significant = len(text.split("e")[0].replace(".", "").strip("0"))
    plain = 1e-4 <= value < min(10.0 ** min(max(precision, 1), 22), 1e21)
    return max(precision, 1) if plain or significant > precision else precision


def _with_zeros(text: str, digits: int) -> str:
    """A number with a point and at least so many digits."""
    mantissa, mark, exponent = text.partition("e")
    whole, _, behind = mantissa.partition(".")
    known = len((whole + behind).lstrip("0")) or 1
    return f"{whole}.{behind}{'0' * (digits - known)}{mark}{exponent}"


def _hexadecimal(value: float, precision: int | None) -> str:
    """`0x1.8p+00`"""
    mantissa, exponent = math.frexp(value)
    if not mantissa:
        return f"0x0{'.' + '0' * precision if precision else ''}p+00"
    whole = int(math.ldexp(mantissa, _MANTISSA + 1))
    exponent -= 1
    if precision is not None and precision < _MANTISSA // 4:
        dropped = _MANTISSA - 4 * precision
        half, odd = 1 << (dropped - 1), (whole >> dropped) & 1
        whole = (whole + half - 1 + odd) >> dropped << dropped
        if whole >> (_MANTISSA + 1):
            whole, exponent = whole >> 1, exponent + 1
    digits = f"{whole & ((1 << _MANTISSA) - 1):013x}"
    digits = digits.rstrip("0") if precision is None else digits.ljust(precision, "0")[:precision]
    return f"0x1{'.' + digits if digits else ''}p{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _binary(value: float) -> str:
    """`6755399441055744p-52`"""
    if not value:
        return "0p-1074"
    exponent = max(math.frexp(value)[1] - 1 - _MANTISSA, -1074)
    return f"{int(math.ldexp(value, -exponent))}p{exponent:+d}"


# -- quotes -----------------------------------------------------------------------------------------------------------


def _fits_backquotes(text: str) -> bool:
    return not any(char in "`\x7f\ufeff\ufffd" or (char < " " and char != "\t") for char in text)


def _quoted(text: str, ascii_only: bool) -> str:
    if not ascii_only:
        return quote(text)
    return "".join(char if char < "\x80" else _escaped(char) for char in quote(text))


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
