"""What a step costs by the number of its rows, and how many guessed tokens are worth their rows.

On a processor that is busy with one row already, sixteen cost five to ten times as much, and more while others use it
(docs/adr/0006-speculation.md has figures); elsewhere they may be nearly free. So steps are timed as they happen.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_UNKNOWN_SLOPE: Final = 0.5
"""What a further row costs, in parts of what each row has cost until then, as long as it has not been measured."""
_FLATTEST: Final = 0.01
"""The least that a row beyond those measured is taken to cost, in steps with the fewest rows."""
_NEWEST: Final = 0.2
"""Weight of a measurement in the average."""
_FIRST: Final = 0.5
"""Weight of the first one, the rest being what was expected: what disturbs a single step must not decide."""
_OUTLIER: Final = 1.5
"""A measurement counts as at most so many averages."""
_LIFE: Final = 1024
"""Steps after which a measurement that was not repeated is forgotten, so that a wrong one does not stay for ever."""
_MARGIN: Final = 1.05
"""Guessing must promise so much of the plain speed."""


class StepTimes:
    """Moving averages of the time a step takes, by its rows."""

    def __init__(self) -> None:
        self._averages: dict[int, float] = {}
        self._seen: dict[int, int] = {}
        self._steps = 0

    def observe(self, rows: int, elapsed: int) -> None:
        """A step of so many rows took `elapsed` nanoseconds."""
        if elapsed <= 0:
            return
        self._steps += 1
        self._seen[rows] = self._steps
        average, weight = self._averages.get(rows), _NEWEST
        if average is None:
            average, weight = (self.between(rows, rows)[0], _FIRST) if self._averages else (float(elapsed), 1.0)
        self._averages[rows] = average + weight * (min(elapsed, _OUTLIER * average) - average)

    def between(self, first: int, last: int) -> list[float]:
        """Expected times of steps with `first` to `last` rows: in nanoseconds, or in steps of one row while no step has
        been timed."""
        known = self._known()
        low, time = known[0]
        times = [time * _assumed(rows / low) for rows in range(first, min(low, last + 1))]
        for (left, begin), (right, end) in pairwise(known):
            slope = (end - begin) / (right - left)
            times += [begin + slope * (rows - left) for rows in range(max(left, first), min(right, last + 1))]
        high, slowest = known[-1]
        slope = max((slowest - time) / (high - low), _FLATTEST * time) if high > low else 0.0
        for rows in range(max(high, first), last + 1):
            times.append(slowest + slope * (rows - high) if slope else slowest * _assumed(rows / high))
        return times

    def _known(self) -> list[tuple[int, float]]:
        for rows in [rows for rows, seen in self._seen.items() if self._steps - seen > _LIFE]:
            del self._seen[rows], self._averages[rows]
        return sorted(self._averages.items()) or [(1, 1.0)]


def _assumed(ratio: float) -> float:
    """How much longer a step takes that has so many times the rows."""
    return 1 + _UNKNOWN_SLOPE * (ratio - 1)


def allot(odds: Sequence[Sequence[float]], times: Sequence[float]) -> list[int]:
    """How many tokens of each guess to verify, so that all sequences together get the most tokens a second.

    `odds`: as in `Guess`, one list for each sequence of the step, empty where nothing is guessed. `times`: of the step
    with one row for each sequence, with one row more, and so on.
    """
    likely: list[tuple[float, int]] = []
    for index, each in enumerate(odds):
        reached = 1.0
        for odd in each:
            reached *= odd
            likely.append((-reached, index))
    if len(odds) > 1:
        likely.sort()
    expected = float(len(odds))
    best, rows = _MARGIN * expected / times[0], 0
    for count, ((unlikely, _), time) in enumerate(zip(likely, times[1:], strict=False), 1):
        expected -= unlikely
        if expected > best * time:
            best, rows = expected / time, count
    lengths = [0] * len(odds)
    for _, index in likely[:rows]:
        lengths[index] += 1
    return lengths


def worthwhile(odd: float, most: int, times: Sequence[float], each: float) -> int:
    """How many tokens to have guessed, at `each` nanoseconds, when one is right with the given odds; 0 where it costs
    more than it gives. `times`: of the step without any, with one, and so on."""
    expected = reached = 1.0
    best, depth = _MARGIN / times[0], 0
    for count, time in enumerate(times[1 : most + 1], 1):
        reached *= odd
        expected += reached
        if expected > best * (time + count * each):
            best, depth = expected / (time + count * each), count
    return depth
