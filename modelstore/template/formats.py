"""`printf`: reads a format string and hands each verb its argument. A mistake leaves a note in the text, no error."""

from collections.abc import Sequence
from typing import Final

from modelstore.template.printing import MAX_WIDTH, Flags, format_extra, format_verb

_FLAGS: Final = {"+": "plus", "-": "minus", "#": "sharp", " ": "space", "0": "zero"}


def sprintf(form: str, args: Sequence[object]) -> str:
    """The format with its verbs replaced."""
    return _Format(form, args).run()


class _Format:
    def __init__(self, form: str, args: Sequence[object]) -> None:
        self._form = form
        self._args = args
        self._pos = 0
        self._arg = 0
        self._reordered = False
        self._bad_index = False
        self._notes: list[str] = []

    def run(self) -> str:
        pieces: list[str] = []
        while (percent := self._form.find("%", self._pos)) >= 0:
            pieces.append(self._form[self._pos : percent])
            self._pos = percent + 1
            pieces.append(self._directive())
        pieces.append(self._form[self._pos :])
        if not self._reordered and self._arg < len(self._args):
            pieces.append(format_extra(self._args[self._arg :]))
        return "".join(pieces)

    def _directive(self) -> str:
        self._bad_index = False
        self._notes = []
        flags = self._flags()
        after_index = self._index()
        flags.width = self._size(after_index, "%!(BADWIDTH)")
        if flags.width is not None and flags.width < 0:
            flags.width, flags.minus = -flags.width, True
        if self._char() == ".":
            self._pos += 1
            after_index = self._index()
            flags.precision = self._size(after_index, "%!(BADPREC)", 0)
            if flags.precision is not None and flags.precision < 0:
                flags.precision = None
                self._notes.append("%!(BADPREC)")
        self._index()
        return "".join(self._notes) + self._verb(flags)

    def _char(self) -> str:
        return self._form[self._pos : self._pos + 1]

    def _flags(self) -> Flags:
        flags = Flags()
        while (char := self._char()) and char in _FLAGS:
            setattr(flags, _FLAGS[char], True)
            self._pos += 1
        return flags

    def _index(self) -> bool:
        """Reads `[n]`, which chooses the next argument."""
        if self._char() != "[":
            return False
        self._reordered = True
        end = self._form.find("]", self._pos)
        text = self._form[self._pos + 1 : end] if end > 0 else ""
        self._pos = end + 1 if end > 0 else self._pos + 1
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= len(self._args):
            self._bad_index = True
            return False
        self._arg = int(text) - 1
        return True

    def _size(self, after_index: bool, note: str, default: int | None = None) -> int | None:
        if self._char() == "*":
            self._pos += 1
            return self._size_argument(note)
        start = self._pos
        while (char := self._char()) and char in "0123456789":
            self._pos += 1
        digits = self._form[start : self._pos]
        if not digits:
            return default
        if after_index:
            self._bad_index = True
        return int(digits[:9]) if len(digits) < 9 and int(digits) <= MAX_WIDTH else None

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
        return format_verb(verb, flags, value)
