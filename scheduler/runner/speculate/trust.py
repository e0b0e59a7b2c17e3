"""Whether asking the draft model pays: it is asked less and less while it does not.

    asked ──does not pay──► rests 16 steps ──► asked once ──► rests 32 ──► asked once ──► rests 64 ──► … ──► given up
      ▲                                            │                           │
      └───────────────────pays─────────────────────┴───────────────────────────┘

After a request for which it was given up the next does without it from the start, after another such the next three,
then seven: the draft model would have to read each prompt first.
"""

from typing import Final

_SLOW: Final = 1 / 64
_QUICK: Final = 1 / 8
_AT_FIRST: Final = 0.8
_FIRST_REST: Final = 16
_LAST_REST: Final = 64
_MOST_SKIPPED: Final = 64


class Record:
    """What is known of the draft model over all requests."""

    def __init__(self) -> None:
        self.odd = _AT_FIRST
        """The odds that a token it is asked for is there, and right."""
        self._skip = 0
        self._skipped = 0

    def trust(self) -> "Trust":
        """For a new request."""
        skipped = self._skipped < self._skip
        self._skipped += skipped
        return Trust(self, given_up=skipped)

    def learn(self, *, right: bool) -> None:
        """As `Trust.learn`."""
        self.odd += _SLOW * (right - self.odd)

    def ended(self, *, given_up: bool) -> None:
        """A request that it was tried for has ended."""
        self._skip = min(2 * self._skip + 1, _MOST_SKIPPED) if given_up else 0
        self._skipped = 0


class Trust:
    """What is known of it in one request."""

    __slots__ = ("_given_up", "_probe", "_record", "_rest", "_resting", "_tried", "odd")

    def __init__(self, record: Record, *, given_up: bool) -> None:
        self._record = record
        self._given_up = given_up
        self._tried = not given_up
        self._probe = False
        self._rest = _FIRST_REST
        self._resting = 0
        self.odd = record.odd

    def wakes(self) -> bool:
        """Called once a step: whether to consider asking it."""
        self._resting = max(self._resting - 1, 0)
        return not self._given_up and not self._resting

    def asks(self, *, pays: bool) -> bool:
        """Whether to ask it, given whether that should pay. Where not, it may be asked to see if that has changed."""
        if pays:
            self._rest = _FIRST_REST
            self._probe = False
            return True
        if self._probe:
            self._probe = False
            return True
        if self._rest > _LAST_REST:
            self._given_up = True
        self._resting = self._rest
        self._rest *= 2
        self._probe = True
        return False

    def learn(self, *, right: bool) -> None:
        """A token that it was asked for has been compared with what the model chose; none counts as wrong."""
        self.odd += _QUICK * (right - self.odd)
        self._record.learn(right=right)

    def ended(self) -> None:
        """The request has ended."""
        if self._tried:
            self._record.ended(given_up=self._given_up)
