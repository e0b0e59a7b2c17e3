"""From token pieces to text that may be sent: bytes are held back while they could become a stop string or are only
part of a character."""

from collections.abc import Sequence
from typing import Final

from scheduler.frames import Logprob
from scheduler.runner.text.stops import StopStrings

_REPEATS_ALLOWED: Final = 30


class TextAssembler:
    """The answer of one request as it grows. `push` every piece, then `finish` unless `stopped`."""

    def __init__(self, stops: Sequence[str] | StopStrings = ()) -> None:
        self._stops = stops if isinstance(stops, StopStrings) else StopStrings(stops) if stops else None
        self._begun: list[int] = []  # where in the held text a stop string may have begun
        self._held = b""
        self._waiting: list[tuple[int, Logprob]] = []
        self._last: bytes = b""
        self._repeats = 0
        self.stopped = False
        """A stop string has appeared: nothing more will come out."""
        self.logprobs: list[Logprob] = []
        """Entries of the text that the last call returned."""

    @property
    def looping(self) -> bool:
        """The last 31 pieces were equal but for white space around them."""
        return self._repeats > _REPEATS_ALLOWED

    def push(self, piece: bytes, logprob: Logprob | None = None) -> str:
        """Text that became certain with this piece; empty while it is held back."""
        self._watch(piece)
        start = len(self._held)
        held = self._held + piece if start else piece
        if logprob is not None:
            self._waiting.append((start, logprob))
        if self._stops is not None:
            cut, self._begun = self._stops.scan(held, start, self._begun)
            if cut >= 0:
                self.stopped = True
                return self._release(held[:cut], cut)
        if self._begun or _ends_inside_character(held):
            self._held = held
            self.logprobs = []
            return ""
        return self._release(held, len(held) + 1)

    def finish(self) -> str:
        """What was still held back when the generation ended for another reason than a stop string."""
        held = self._held
        while held and _ends_inside_character(held):
            held = held[:-1]
        return self._release(held, len(self._held) + 1)

    def _release(self, held: bytes, end: int) -> str:
        """Entries of pieces that begin at or after `end` are dropped with them."""
        self._held = b""
        self.logprobs = [entry for start, entry in self._waiting if start < end]
        self._waiting = []
        return held.decode("utf-8", "replace")

    def _watch(self, piece: bytes) -> None:
        trimmed = piece.strip()
        if trimmed == self._last:
            self._repeats += 1
        else:
            self._last, self._repeats = trimmed, 0


def _ends_inside_character(data: bytes) -> bool:
    """Whether the bytes end in the beginning of a UTF-8 character that needs more bytes."""
    if not data or data[-1] < 0x80:
        return False
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 2 if byte & 0xE0 == 0xC0 else 3 if byte & 0xF0 == 0xE0 else 4 if byte & 0xF8 == 0xF0 else 1
        return needed > back
    return False
