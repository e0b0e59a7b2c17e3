"""How long a loaded model stays.

The clock starts when the last request on the model ends. A request may change the stay for itself and for all that
follow without a wish of their own.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

_LONGEST_TIMER: Final = 100 * 365 * 86400.0
"""Seconds beyond which a stay is not timed: event loops count milliseconds in 64 bits at best."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Seconds that a model stays after its last use, and the moment people are told."""

    keep: float
    expires_at: float | None = None
    """Unix time; None until the first request has ended."""

    @classmethod
    def of(cls, wished: float | None, default: float) -> "Stay":
        """The stay of a model loaded now; a negative number of seconds is for ever."""
        return cls(_seconds(default if wished is None else wished))

    def attached(self, wished: float | None) -> "Stay":
        """A request with this wish has begun. What was said about the end stands until it ends."""
        return self if wished is None else replace(self, keep=_seconds(wished))

    def left(self, wall: float) -> "Stay":
        """The last request has ended at `wall`."""
        return replace(self, expires_at=wall + self.keep)

    def expired(self, wall: float) -> "Stay":
        """Somebody asked for the model to go: at once, or as soon as its requests have ended."""
        return Stay(0.0, wall)

    @property
    def timer(self) -> float | None:
        """Seconds to wait after the last use; None when it never ends."""
        return None if self.keep > _LONGEST_TIMER else self.keep

    def shown(self, wall: float) -> float | None:
        """The end as /api/ps tells it; None: never."""
        at = wall + self.keep if self.expires_at is None else self.expires_at
        return at if math.isfinite(at) else None


def _seconds(wished: float) -> float:
    return wished if wished >= 0 else math.inf
