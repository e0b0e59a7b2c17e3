"""Which loaded model must go to make room for another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A loaded model as eviction sees it."""

    key: str
    keep: float
    """Seconds it is to stay after its last request; inf: for ever."""
    busy: bool


def choose_victim(loaded: Sequence[Candidate]) -> str | None:
    """The idle model that would have left first; if all are busy, the one with the shortest stay; None of none.

    Neither recency nor size counts. A model that should stay for ever goes last, but it goes.
    """
    ranked = sorted(loaded, key=lambda one: (one.keep if one.keep >= 0 else math.inf, one.key))
    return next((one.key for one in ranked if not one.busy), ranked[0].key if ranked else None)


def idle(loaded: Sequence[Candidate]) -> tuple[str, ...]:
    """All that may go at once, after a load ran out of memory."""
    return tuple(one.key for one in loaded if not one.busy)
