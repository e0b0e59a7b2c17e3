"""Free text in which calls of tools conform to a grammar.

    beginning ──────▶ free ──an opening──▶ bound ──the call is complete──▶ free, or the end
        └──no opening, where it counts only here──▶ plain

Free and plain text may be anything; in plain text openings mean nothing.
"""

import logging
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.constrain.follower import Follower

log = logging.getLogger(__name__)


class CallMatcher(Follower, Protocol):
    """A matcher for one call."""

    @property
    def complete(self) -> bool: ...
    def clone(self) -> "CallMatcher": ...


class _State(Enum):
    BEGINNING = auto()
    FREE = auto()
    BOUND = auto()
    PLAIN = auto()


class Calling:
    """Wraps the matcher of what follows an opening. `written`: from a token to its text, control tokens written out."""

    def __init__(
        self,
        call: CallMatcher,
        openings: Sequence[str],
        written: Callable[[int], bytes],
        *,
        many: bool = True,
        at_start: bool = False,
    ) -> None:
        self._call = call
        """At its beginning; never moved."""
        self._openings = [opening.encode() for opening in openings]
        self._keep = max(map(len, self._openings), default=1) - 1
        self._written = written
        self._many = many
        self._state = _State.BEGINNING if at_start else _State.FREE
        self._matcher = call
        self._said: bytes = b""
        """The end of the free text, or its beginning while that decides."""

    @property
    def active(self) -> bool:
        """Whether the next token is bound."""
        return self._state is _State.BOUND

    @property
    def ready(self) -> bool:
        """Whether the mask is known."""
        return self.active and self._matcher.ready

    @property
    def error(self) -> str:
        """Never any: a call that cannot be completed is let go."""
        return ""

    def prepare(self) -> None:
        """Work out what may come next."""
        if self.active:
            self._matcher.prepare()

    def admits(self, token: int) -> bool:
        """Whether the token may come next."""
        return not self.active or self._matcher.admits(token)

    def mask(self) -> NDArray[np.int32]:
        """A bit for each token that may come next."""
        mask = self._matcher.mask()
        return mask if self.active else np.full_like(mask, -1)

    def consume(self, token: int) -> bool:
        """Advance over a chosen token. True when nothing may follow it."""
        if not self.active:
            self.feed(self._written(token))
            return False
        ended = self._matcher.consume(token)
        if self._matcher.error:
            log.warning("a tool call is not held to its schema any more: %s", self._matcher.error)
            self._state = _State.PLAIN
            return False
        return self._completed() or (ended and not self._many)

    def feed(self, text: bytes) -> bool:
        """Advance over a text that was said, whatever it is."""
        match self._state:
            case _State.BEGINNING:
                self._begin(text)
            case _State.FREE:
                self._look(text)
            case _State.BOUND:
                self._matcher.feed(text)
                self._completed()
            case _State.PLAIN:
                pass
        return True

    def _begin(self, text: bytes) -> None:
        self._said = (self._said + text).lstrip()
        if any(self._said.startswith(opening) for opening in self._openings):
            self._look(b"")
        elif not any(opening.startswith(self._said) for opening in self._openings):
            self._state = _State.PLAIN

    def _look(self, text: bytes) -> None:
        """Find the first opening."""
        said = self._said + text
        end = min((at + len(mark) for mark in self._openings if (at := said.find(mark)) >= 0), default=-1)
        if end < 0:
            self._said = said[-self._keep :] if self._keep else b""
            return
        self._matcher, rest = self._call.clone(), said[end:]
        if rest and not self._matcher.feed(rest):
            self._said = rest[-self._keep :]  # no call of this form: the parser may make more of it
            return
        self._state, self._said = _State.BOUND, b""
        self._completed()

    def _completed(self) -> bool:
        """Takes note of a complete call. True when nothing may follow it."""
        if self._matcher.complete:
            self._state = _State.FREE
            return not self._many
        return False
