"""Values of the constants in a template: quoted strings, characters, numbers."""

import math
import re
from typing import Final

from modelstore.quoting import quote

_ESCAPE: Final = re.compile(
    r"\\(?:(?P<short>[abfnrtv\\'\"])|x(?P<byte>[0-9a-fA-F]{2})|(?P<octal>[0-7]{3})"
    r"|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8})|(?P<bad>.?))",
    re.DOTALL,
)
_SHORT: Final = {
    "a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34,
}  # fmt: skip
_OCTAL: Final = re.compile(r"([+-]?)0([0-7_]*)")
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
_UINT_MAX: Final = (1 << 64) - 1


def unquote(quoted: str) -> str:
    """The string that a literal stands for. Raises `ValueError` with Go's text."""
    mark, inner = quoted[0], quoted[1:-1]
    if mark == "`":
        return inner.replace("\r", "")
    if "\\" not in inner:
        return inner
    data = bytearray()
    done = 0
    for found in _ESCAPE.finditer(inner):
        data += inner[done : found.start()].encode(errors="replace")
        data += _bytes(found, "'")
        done = found.end()
    data += inner[done:].encode(errors="replace")
    return data.decode(errors="replace")


def character(quoted: str) -> int:
    """The code of a character constant. Raises `ValueError` with Go's text."""
    inner = quoted[1:-1]
    found = _ESCAPE.match(inner)
    if not inner or (found and (found["bad"] is not None or found["short"] == '"')):
        raise ValueError("invalid syntax")
    code = _code(found) if found else ord(inner[0])
    if len(inner) > (found.end() if found else 1):
        raise ValueError(f"malformed character constant: {quoted}")
    return code


def number(text: str) -> int | float:
    """Value of a number; an int unless it is written with point or exponent. Raises `ValueError` with Go's text.

    Integers up to 2⁶⁴-1 pass, as in Go, which has no use for those above `INT_MAX` either.
    """
    try:
        octal = _OCTAL.fullmatch(text)
        value = int(f"{octal[1]}0o{octal[2] or '0'}" if octal else text, 0)
    except ValueError:
        return _float(text)
    if not INT_MIN <= value <= _UINT_MAX:
        raise ValueError(f"integer overflow: {quote(text)}")
    return value


def _float(text: str) -> float:
    lowered = text.lower().lstrip("+-")
    try:
        if lowered.startswith("0x") and "p" not in lowered:
            raise ValueError  # Python would take it
        value = float.fromhex(text) if lowered.startswith("0x") else float(text)
    except (ValueError, OverflowError):
        value = math.inf
    if math.isinf(value):
        raise ValueError(f"illegal number syntax: {quote(text)}")
    if not set(text) & set(".eEpP"):
        raise ValueError(f"integer overflow: {quote(text)}")
    return value


def _bytes(found: re.Match[str], forbidden: str) -> bytes:
    if found["bad"] is not None or found["short"] == forbidden:
        raise ValueError("invalid syntax")
    code = _code(found)
    if found["byte"] or found["octal"]:
        return bytes((code,))
    return chr(code).encode()


def _code(found: re.Match[str]) -> int:
    if short := found["short"]:
        return _SHORT[short]
    code = int(found["octal"], 8) if found["octal"] else int(found["byte"] or found["u4"] or found["u8"], 16)
    if code > (0xFF if found["octal"] else 0x10FFFF) or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax")
    return code
