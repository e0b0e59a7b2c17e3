"""How values become text: the rules of Go's package fmt, as far as templates can reach them.

    show()               →  the text of an action
    sprint(), sprintln() →  `print`, `println`
    format_verb()        →  one verb of `printf`

`_Verb` finds out what a value is, and goes into lists, maps and records; single values are written by `Field`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from modelstore.template.atoms import Field, Flags
from modelstore.template.values import Record, Void, go_type, text_form

NIL: Final = "<nil>"
MAX_TEXT: Final = 1 << 24
"""Characters; a longer text is not made, and what would make it fails with `ValueError`."""
_PIECE: Final = 64
"""Characters that a piece counts beside its own: many small ones take as long as a large one."""
_PLAIN: Final = Flags()


class Meter:
    """Bounds what one call may write, everything inside of everything counted."""

    def __init__(self) -> None:
        self._left = MAX_TEXT

    def joined(self, pieces: Iterable[str], between: str) -> str:
        """The pieces as one text. Raises `ValueError`."""
        kept: list[str] = []
        for piece in pieces:
            self._left -= len(piece) + _PIECE
            if self._left < 0:
                raise ValueError(f"text of more than {MAX_TEXT} characters")
            kept.append(piece)
        return between.join(kept)


def show(value: object) -> str:
    """The text of an action's value."""
    if isinstance(value, str):
        return value
    if value is None or value is Void.VALUE:
        return Void.VALUE.value
    if isinstance(value, int):
        return str(value).lower()
    return _Verb("v", _PLAIN, Meter()).format(value, inner=isinstance(value, Record) and value.pointer)


def sprint(args: Sequence[object]) -> str:
    """All arguments; a blank between two of which neither is a string."""
    meter = Meter()
    return meter.joined(_apart(args, meter), "")


def _apart(args: Sequence[object], meter: Meter) -> Iterator[str]:
    was_string = True
    for arg in args:
        is_string = isinstance(arg, str)
        text = _Verb("v", _PLAIN, meter).format(arg)
        yield text if is_string or was_string else f" {text}"
        was_string = is_string


def sprintln(args: Sequence[object]) -> str:
    """All arguments, blanks between them, a line feed behind."""
    meter = Meter()
    return meter.joined((_Verb("v", _PLAIN, meter).format(arg) for arg in args), " ") + "\n"


@dataclass(slots=True)
class _Verb:
    """One verb with its flags, applied to a value and to all that is inside it."""

    verb: str
    flags: Flags
    meter: Meter
    erring: bool = False
    """The value is told in a note about a mistake: types do not get to choose their text."""

    def format(self, value: object, inner: bool = False) -> str:
        """`inner`: the value stands inside another one, or what a pointer points to is meant."""
        verb = self.verb
        if value is None or value is Void.VALUE:
            return self._nil(inner)
        if verb == "w":
            return self._bad(value)
        if verb == "T":
            return self._field().text("s", go_type(value))
        if verb in "vsxXq" and not self.erring and not self.flags.sharp_v:
            own = text_form(value)
            if own is not None:
                return self._field().text(verb, own)
        if isinstance(value, Record):
            return self._record(value, inner)
        if isinstance(value, dict):
            return self._map(cast("dict[str, object]", value))
        if isinstance(value, list):
            items = cast("list[object]", value)
            return self._list(items, go_type(items))
        if isinstance(value, bytes) and verb not in "sxXq":
            return self._list(list(value), go_type(value))
        text = self._field().format(verb, cast("str | bytes | int | float", value))
        return self._bad(value) if text is None else text

    def _field(self) -> Field:
        return Field(self.flags)

    def _nil(self, inner: bool) -> str:
        if inner:
            return "interface {}(nil)" if self.flags.sharp_v else NIL
        return self._field().pad(NIL) if self.verb in "vT" else f"%!{self.verb}({NIL})"

    def _bad(self, value: object) -> str:
        told = _Verb("v", self.flags, self.meter, erring=True).format(value)
        return f"%!{self.verb}({go_type(value)}={told})"

    # -- what holds other values --------------------------------------------------------------------------------------

    def _list(self, items: Sequence[object], name: str) -> str:
        inside = (self.format(item, True) for item in items)
        if self.flags.sharp_v:
            return f"{name}{{{self.meter.joined(inside, ', ')}}}"
        return f"[{self.meter.joined(inside, ' ')}]"

    def _map(self, items: dict[str, object]) -> str:
        pairs = (f"{self.format(key, True)}:{self.format(items[key], True)}" for key in sorted(items))
        if self.flags.sharp_v:
            return f"{go_type(items)}{{{self.meter.joined(pairs, ', ')}}}"
        return f"map[{self.meter.joined(pairs, ' ')}]"

    def _record(self, value: Record, inner: bool) -> str:
        pointer = value.pointer
        if pointer and inner and self.verb not in "v":
            return self._bad(value)
        named, source = self.flags.plus_v or self.flags.sharp_v, self.flags.sharp_v
        fields = (f"{name}:{self.format(item, True)}" if named else self.format(item, True)
                  for name, item in value.fields())  # fmt: skip
        head = ("&" if pointer and not inner else "") + (go_type(value).lstrip("*") if source else "")
        return f"{head}{{{self.meter.joined(fields, ', ' if source else ' ')}}}"


def format_verb(verb: str, flags: Flags, value: object, meter: Meter) -> str:
    """One verb of a format string with its value. Raises `ValueError` for a text that would be too long."""
    if verb == "v":
        flags = replace(flags, plus=False, sharp=False, plus_v=flags.plus, sharp_v=flags.sharp)
    return _Verb(verb, flags, meter).format(value)


def format_extra(values: Sequence[object], meter: Meter) -> str:
    """The note about arguments that the format did not use."""
    verb = _Verb("v", _PLAIN, meter)
    shown = (NIL if value is None else f"{go_type(value)}={verb.format(value)}" for value in values)
    return f"%!(EXTRA {meter.joined(shown, ', ')})"
