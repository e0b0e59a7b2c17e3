"""Go's notation for lengths of time: `1h30m`, `300ms`, `-1.5s`."""

import re
from typing import Final

MAX_NANOSECONDS: Final = 2**63 - 1
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, the micro sign
    "μs": 10**3,  # U+03BC, the Greek letter
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
PATTERN: Final = r"^[+-]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
"""All texts that are durations, but for those that are too long."""
_NUMBER = re.compile(r"([0-9]*)(?:\.([0-9]*))?")
_UNIT = re.compile(r"[^0-9.]*")


class InvalidDuration(ValueError):
    """`text` is not a duration."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"time: {reason} {quote(text)}")
        self.text = text


def quote(text: str) -> str:
    """In double quotes, with quotes and backslashes escaped and everything outside printable ASCII as `\\xNN` bytes."""
    out: list[str] = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif " " <= char < "\x7f":
            out.append(char)
        else:
            out.extend(f"\\x{byte:02x}" for byte in char.encode(errors="surrogatepass"))
    return '"' + "".join(out) + '"'


def parse(text: str) -> int:
    """Nanoseconds. Raises `InvalidDuration`."""
    rest = text.removeprefix("+") if text.startswith("+") else text.removeprefix("-")
    if rest == "0":
        return 0
    if not rest:
        raise InvalidDuration("invalid duration", text)
    total = 0
    while rest:
        nanoseconds, rest = _term(rest, text)
        total += nanoseconds
        if total > MAX_NANOSECONDS + text.startswith("-"):
            raise InvalidDuration("invalid duration", text)
    return -total if text.startswith("-") else total


def _term(rest: str, text: str) -> tuple[int, str]:
    """Nanoseconds of the number and unit that `rest` begins with, and what follows them."""
    number = _NUMBER.match(rest)
    if number is None or not (number[1] or number[2]):
        raise InvalidDuration("invalid duration", text)
    rest = rest[number.end() :]
    unit = _UNIT.match(rest)
    name = unit[0] if unit else ""
    if not name:
        raise InvalidDuration("missing unit in duration", text)
    if name not in _UNITS:
        raise InvalidDuration(f"unknown unit {quote(name)} in duration", text)
    fraction = (number[2] or "")[:18]
    scale = _UNITS[name]
    nanoseconds = int(number[1] or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction)
    return nanoseconds, rest[len(name) :]


def format_nanoseconds(nanoseconds: int) -> str:
    """`1.234567ms`, `2m3.5s`: the shortest text that loses nothing."""
    if nanoseconds < 0:
        return "-" + format_nanoseconds(-nanoseconds)
    if nanoseconds == 0:
        return "0s"
    for unit, scale in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanoseconds < scale * 1000:
            return _decimal(nanoseconds, scale) + unit
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    seconds = _decimal(rest, 10**9) + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, scale: int) -> str:
    whole, part = divmod(value, scale)
    if not part:
        return str(whole)
    return f"{whole}.{str(part).zfill(len(str(scale)) - 1).rstrip('0')}"
