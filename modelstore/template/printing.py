"""How values become text: the rules of Go's package fmt, as far as templates can reach them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from modelstore.numbers import listed_number
from modelstore.quoting import quote
from modelstore.template.values import Record, Void, go_type, text_form

NIL: Final = "<nil>"
MAX_WIDTH: Final = 1_000_000
"""Go ignores a wider field or precision."""


def show(value: object) -> str:
    """The text of an action's value."""
    if isinstance(value, str):
        return value
    if value is None or value is Void.VALUE:
        return Void.VALUE.value
    return _Verb("v").format(value, inner=isinstance(value, Record) and value.pointer)


def sprint(args: Sequence[object]) -> str:
    """All arguments; a blank between two of which neither is a string."""
    pieces: list[str] = []
    was_string = True
    for arg in args:
        is_string = isinstance(arg, str)
        if not is_string and not was_string:
            pieces.append(" ")
        pieces.append(_Verb("v").format(arg))
        was_string = is_string
    return "".join(pieces)


def sprintln(args: Sequence[object]) -> str:
    """All arguments, blanks between them, a line feed behind."""
    return " ".join(_Verb("v").format(arg) for arg in args) + "\n"


@dataclass(slots=True)
class Flags:
    """What stands between the percent sign and the verb."""

    plus: bool = False
    minus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    width: int | None = None
    precision: int | None = None


@dataclass(slots=True)
class _Verb:
    """One verb with its flags, applied to a value and to all that is inside it."""

    verb: str
    flags: Flags | None = None

    def format(self, value: object, inner: bool = False) -> str:
        """`inner`: the value stands inside another one, or what a pointer points to is meant."""
        verb = self.verb
        if value is None or value is Void.VALUE:
            return self._pad(NIL) if inner or verb == "v" else f"%!{verb}({NIL})"
        if verb == "T":
            return self._pad(go_type(value))
        own = text_form(value) if verb in "vsxXq" else None
        if own is not None:
            return self._string(own)
        match value:
            case bool():
                return self._pad("true" if value else "false") if verb in "vt" else self._bad(value)
            case str():
                return self._string(value) if verb in "vsxXq" else self._bad(value)
            case int():
                return self._integer(value)
            case float():
                return self._float(value)
            case bytes():
                return self._string(value) if verb in "sxXq" else self._all(list(value))
            case Record():
                return self._record(value, inner)
            case dict():
                items = cast("dict[str, object]", value)
                pairs = (f"{self.format(key, True)}:{self.format(items[key], True)}" for key in sorted(items))
                return f"map[{' '.join(pairs)}]"
            case list():
                return self._all(cast("list[object]", value))
            case _:
                return self._bad(value)

    def _all(self, items: Sequence[object]) -> str:
        return f"[{' '.join(self.format(item, True) for item in items)}]"

    def _record(self, value: Record, inner: bool) -> str:
        pointer = value.pointer
        if pointer and inner and self.verb not in "v":
            return self._bad(value)
        named = self.flags is not None and self.flags.plus
        fields = (f"{name}:{self.format(item, True)}" if named else self.format(item, True)
                  for name, item in value.fields())  # fmt: skip
        return f"{'&' if pointer and not inner else ''}{{{' '.join(fields)}}}"

    def _bad(self, value: object) -> str:
        return f"%!{self.verb}({go_type(value)}={_Verb('v').format(value)})"

    # -- kinds --------------------------------------------------------------------------------------------------------

    def _string(self, value: str | bytes) -> str:
        flags, verb = self.flags or Flags(), self.verb
        if verb in "xX":
            data = value.encode(errors="replace") if isinstance(value, str) else value
            data = data[: flags.precision]
            digits = data.hex(" ") if flags.space else data.hex()
            return self._pad(digits.upper() if verb == "X" else digits)
        text = value if isinstance(value, str) else value.decode(errors="replace")
        text = text[: flags.precision]
        if verb == "q":
            text = f"`{text}`" if flags.sharp and text.isprintable() and "`" not in text else quote(text)
        return self._pad(text)

    def _integer(self, value: int) -> str:
        flags, verb = self.flags or Flags(), self.verb
        if verb in "cqU":
            return self._rune(value)
        spec = {"v": "d", "d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}.get(verb)
        if spec is None:
            return self._bad(value)
        digits = f"{abs(value):{spec}}"
        if flags.precision is not None:
            digits = "" if flags.precision == 0 and value == 0 else digits.zfill(flags.precision)
        prefix = "0o" if verb == "O" else ""
        if flags.sharp:
            prefix = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(verb, prefix)
        return self._signed(value < 0, prefix, digits, flags.precision is None)

    def _rune(self, value: int) -> str:
        char = chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else "\ufffd"
        if self.verb == "c":
            return self._pad(char)
        if self.verb == "U":
            return self._pad(f"U+{value:04X}")
        inner = quote(char)[1:-1]
        return self._pad("'" + {'\\"': '"', "'": "\\'"}.get(inner, inner) + "'")

    def _float(self, value: float) -> str:
        flags, verb = self.flags or Flags(), self.verb
        if verb not in "vgGeEfF":
            return self._bad(value)
        if value != value or value in (float("inf"), float("-inf")):
            digits = "NaN" if value != value else "Inf"
            return self._signed(value < 0, "" if value < 0 or value != value else "+", digits, False)
        if verb in "vgG" and flags.precision is None:
            digits = listed_number(abs(value))
            digits = digits.upper() if verb == "G" else digits
        else:
            precision = 6 if flags.precision is None else flags.precision
            digits = f"{abs(value):.{precision}{'g' if verb == 'v' else verb}}"
        return self._signed(value < 0 or str(value) == "-0.0", "", digits, True)

    def _signed(self, negative: bool, prefix: str, digits: str, fill: bool) -> str:
        flags = self.flags or Flags()
        sign = "-" if negative else "+" if flags.plus else " " if flags.space else ""
        head = sign + prefix
        if fill and flags.zero and not flags.minus and flags.width is not None:
            digits = digits.rjust(flags.width - len(head), "0")
        return self._pad(head + digits)

    def _pad(self, text: str) -> str:
        flags = self.flags
        if flags is None or flags.width is None:
            return text
        return text.ljust(flags.width) if flags.minus else text.rjust(flags.width)


def format_verb(verb: str, flags: Flags, value: object) -> str:
    """One verb of a format string with its value."""
    return _Verb(verb, flags).format(value)


def format_extra(values: Sequence[object]) -> str:
    """The note about arguments that the format did not use."""
    shown = (NIL if value is None else f"{go_type(value)}={_Verb('v').format(value)}" for value in values)
    return f"%!(EXTRA {', '.join(shown)})"
