"""A constraint that begins in the middle of an answer: when the thoughts end, or where a tool call opens.

    undecided ──the opening──▶ free ──one of `after`──▶ bound
        └──anything else that the grammar admits──────────▲

Without an opening a text begins free. Free text may be anything, but it may not end the answer.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.constrain.follower import Follower


class _State(Enum):
    UNDECIDED = auto()
    FREE = auto()
    BOUND = auto()


class Opening:
    """Tokens that a mark may be written with. Made once for a mark and a vocabulary."""

    def __init__(self, mark: bytes, written: Sequence[bytes]) -> None:
        self.mark = mark
        tails: dict[bytes, list[bytes]] = {}
        for start in range(len(mark)):
            tails.setdefault(mark[start : start + 1], []).append(mark[start:])
        self._candidates = [
            (token, text)
            for token, text in enumerate(written)
            if (plain := text.lstrip())
            and any(tail.startswith(plain) or plain.startswith(tail) for tail in tails.get(plain[:1], ()))
        ]

    def tokens(self, said: bytes) -> list[int]:
        """Tokens that go on with the mark after its beginning `said`."""
        rest = self.mark[len(said) :]
        return [
            token
            for token, text in self._candidates
            if (plain := text if said else text.lstrip()) and (rest.startswith(plain) or plain.startswith(rest))
        ]


class Late:
    """Wraps the matcher that takes over. `written`: from a token to its text, control tokens written out."""

    def __init__(
        self,
        matcher: Follower,
        after: Sequence[str],
        written: Callable[[int], bytes],
        opening: Opening | None = None,
        ends: Iterable[int] = (),
        entries: Sequence[str] = (),
    ) -> None:
        """`ends`: tokens that end an answer, which has to come yet where the text is free. `entries`: other texts after
        which the text is bound, and which belong to it themselves."""
        self._matcher = matcher
        self._after = [mark.encode() for mark in after if mark]
        self._entries = [mark.encode() for mark in entries if mark]
        self._keep = max(map(len, [*self._after, *self._entries]), default=1) - 1
        self._written = written
        self._opening = opening
        self._ends = frozenset(token for token in ends if not any(mark in written(token) for mark in self._after))
        self._state = _State.UNDECIDED if opening else _State.FREE
        self._said = b""
        """In the first state the beginning of the opening, in the second the end of the text."""
        self._opens: list[int] | None = None

    @property
    def active(self) -> bool:
        """Whether the next token is bound."""
        return bool(self._ends) if self._state is _State.FREE else self._matcher.active

    @property
    def error(self) -> str:
        """What went wrong on the way."""
        return self._matcher.error

    @property
    def ready(self) -> bool:
        """Whether the mask is known."""
        return self._state is _State.BOUND and self._matcher.ready

    def prepare(self) -> None:
        """Work out what may come next."""
        if self._state is _State.UNDECIDED and self._opens is None and self._opening:
            self._opens = self._opening.tokens(self._said)
        if self._state is _State.BOUND or (self._state is _State.UNDECIDED and not self._said):
            self._matcher.prepare()

    def admits(self, token: int) -> bool:
        """Whether the token may come next."""
        if self._state is _State.UNDECIDED:
            self.prepare()
            if token in (self._opens or ()):
                return True
            return not self._said and self._matcher.admits(token)
        return token not in self._ends if self._state is _State.FREE else self._matcher.admits(token)

    def mask(self) -> NDArray[np.int32]:
        """A bit for each token that may come next."""
        mask = self._matcher.mask()
        if self._state is _State.BOUND:
            return mask
        if self._state is _State.FREE:
            mask = np.full_like(mask, -1)
            bits = mask.view(np.uint8)
            for token in self._ends:
                bits[token >> 3] &= ~(1 << (token & 7)) & 0xFF
            return mask
        self.prepare()
        mask = np.zeros_like(mask) if self._said else mask.copy()
        bits = mask.view(np.uint8)
        for token in self._opens or ():
            bits[token >> 3] |= 1 << (token & 7)
        return mask

    def consume(self, token: int) -> bool:
        """Advance over a chosen token. True when nothing may follow it."""
        if self._state is _State.BOUND:
            return self._matcher.consume(token)
        if self._state is _State.FREE:
            self._look(self._written(token))
            return False
        return self._decide(token)

    def _decide(self, token: int) -> bool:
        self.prepare()
        opens, self._opens = self._opens or (), None
        mark = self._opening.mark if self._opening else b""
        if token not in opens:
            if self._said:  # only where nothing binds yet can an opening be left unfinished
                self._matcher.feed(self._said)
            ended = self._matcher.consume(token)
            if self._said or self._written(token).strip():
                self._state = _State.BOUND
            return ended
        said = self._said + self._written(token)
        self._said = said if self._said else said.lstrip()
        if self._said.startswith(mark) or not (self._opening and self._opening.tokens(self._said)):
            rest, self._said = self._said[len(mark) :], b""
            self._state = _State.FREE
            self._look(rest)
        return False

    def _look(self, text: bytes) -> None:
        """Find the first mark from which on the text is bound."""
        text = self._said + text
        starts = [at + len(mark) for mark in self._after if (at := text.find(mark)) >= 0]
        starts += [at for mark in self._entries if (at := text.find(mark)) >= 0]
        if not starts:
            self._said = text[-self._keep :] if self._keep else b""
            return
        self._state, self._said = _State.BOUND, b""
        if rest := text[min(starts) :]:
            self._matcher.feed(rest)  # where the grammar cannot begin with it, it stands there all the same
