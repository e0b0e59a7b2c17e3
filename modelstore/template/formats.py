"""`printf`: reads a format string and hands each verb its argument. A mistake leaves a note in the text, no error."""

from collections.abc import Iterator, Sequence
from typing import Final

from modelstore.template.atoms import Flags
from modelstore.template.printing import Meter, format_extra, format_verb

MAX_WIDTH: Final = 1_000_000
"""Go takes no wider field from an argument, and reads no further digit of what is wider already."""
_FLAGS: Final = {"+": "plus", "-": "minus", "#": "sharp", " ": "space", "0": "zero"}


def sprintf(form: str, args: Sequence[object]) -> str:
    """The format with its verbs replaced."""
    return _Format(form, args).run()


class _Format:
    def __init__(self, form: str, args: Sequence[object]) -> None:
        self._form = form
        self._args = args
        self._meter = Meter()
        self._pos = 0
        self._arg = 0
        self._reordered = False
        self._bad_index = False
        self._notes: list[str] = []

    def run(self) -> str:
        return self._meter.joined(self._pieces(), "")

    def _pieces(self) -> Iterator[str]:
        while (percent := self._form.find("%", self._pos)) >= 0:
            yield self._form[self._pos : percent]
            self._pos = percent + 1
            yield self._directive()
        yield self._form[self._pos :]
        if not self._reordered and self._arg < len(self._args):
            yield format_extra(self._args[self._arg :], self._meter)

    def _directive(self) -> str:
        self._bad_index = False
        self._notes = []
        flags = self._flags()
        after_index = self._index()
        width, after_index = self._size(after_index, "%!(BADWIDTH)")
        if width is not None and width < 0:
            width, flags["minus"], flags["zero"] = -width, True, False
        precision: int | None = None
        if self._form.startswith(".", self._pos) and self._pos + 1 < len(self._form):
            self._pos += 1
            self._bad_index |= after_index
            after_index = self._index()
            precision, after_index = self._size(after_index, "%!(BADPREC)", 0)
            if precision is not None and precision < 0:
                precision = None
                self._notes.append("%!(BADPREC)")
        if not after_index:
            self._index()
        return "".join(self._notes) + self._verb(Flags(**flags, width=width, precision=precision))

    def _char(self) -> str:
        return self._form[self._pos : self._pos + 1]

    def _flags(self) -> dict[str, bool]:
        flags: dict[str, bool] = {}
        while (char := self._char()) and char in _FLAGS:
            flags[_FLAGS[char]] = True
            self._pos += 1
        return flags

    def _index(self) -> bool:
        """Reads `[n]`, which chooses the next argument. Whether there was a number in brackets."""
        if self._char() != "[":
            return False
        self._reordered = True
        end = self._form.find("]", self._pos)
        text = self._form[self._pos + 1 : end] if end > 0 else ""
        self._pos = end + 1 if end > 0 else self._pos + 1
        is_number = text.isascii() and text.isdigit() and int(text[:9]) <= MAX_WIDTH and len(text) < 9
        if is_number and 1 <= int(text) <= len(self._args):
            self._arg = int(text) - 1
        else:
            self._bad_index = True
        return is_number

    def _size(self, after_index: bool, note: str, default: int | None = None) -> tuple[int | None, bool]:
        """A width or a precision; and whether an index still stands in front of what comes next."""
        if self._char() == "*":
            self._pos += 1
            return self._size_argument(note), False
        start = self._pos
        while (char := self._char()) and char in "0123456789":
            self._pos += 1
        digits = self._form[start : self._pos]
        if not digits:
            return default, after_index
        if after_index:
            self._bad_index = True
        if len(digits) > 8 or int(digits[:-1] or "0") > MAX_WIDTH:
            self._pos = len(self._form)  # Go reads no further
            return default, after_index
        return int(digits), after_index

    def _size_argument(self, note: str) -> int | None:
        value = self._args[self._arg] if self._arg < len(self._args) else None
        self._arg += self._arg < len(self._args)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_WIDTH:
            return value
        self._notes.append(note)
        return None

    def _verb(self, flags: Flags) -> str:
        verb = self._char()
        if not verb:
            return "%!(NOVERB)"
        self._pos += 1
        if verb == "%":
            return "%"
        if self._bad_index:
            return f"%!{verb}(BADINDEX)"
        if self._arg >= len(self._args):
            return f"%!{verb}(MISSING)"
        value = self._args[self._arg]
        self._arg += 1
        return format_verb(verb, flags, value, self._meter)
