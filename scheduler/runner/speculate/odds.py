"""How often guesses of a kind come true."""

from collections.abc import Sequence
from typing import Final

_SLOWEST: Final = 1 / 64
_SLOWEST_OF_ONE: Final = 1 / 12
_BELIEVED: Final = 3
"""Observations that the first estimate counts as."""


class Averages:
    """Averages of being right, by kind of guess: of everything at first, then of what is recent."""

    __slots__ = ("_counts", "_slowest", "values")

    def __init__(self, values: Sequence[float], slowest: float = _SLOWEST) -> None:
        """To begin with these estimates; no observation weighs less than `slowest`."""
        self.values = list(values)
        self._slowest = slowest
        self._counts = [_BELIEVED] * len(self.values)

    def learn(self, kind: int, *, right: bool) -> None:
        """A guess of this kind has been compared with what the model chose."""
        self._counts[kind] += 1
        self.values[kind] += max(1 / self._counts[kind], self._slowest) * (right - self.values[kind])


class Odds:
    """The averages of one request, which begin with those of all and go into them."""

    __slots__ = ("_all", "_own", "values")

    def __init__(self, all_requests: Averages) -> None:
        self._all = all_requests
        self._own = Averages(all_requests.values, _SLOWEST_OF_ONE)
        self.values = self._own.values

    def learn(self, kind: int, *, right: bool) -> None:
        """As `Averages.learn`."""
        self._own.learn(kind, right=right)
        self._all.learn(kind, right=right)

    def learn_run(self, kinds: Sequence[int], accepted: int) -> None:
        """Guesses that followed each other: the first `accepted` were right, the next, if there was one, wrong."""
        for index, kind in enumerate(kinds[: accepted + 1]):
            self.learn(kind, right=index < accepted)
