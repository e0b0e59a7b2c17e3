"""Stop strings, looked for in a text that grows. A step costs about the same for one as for a hundred thousand."""

import re
from bisect import bisect_left
from collections.abc import Iterable


class StopStrings:
    """A set of stop strings, for any number of texts. Empty ones are ignored.

    They are kept sorted, without those that begin with another: where those match, the other has matched before. Then
    all that begin with some text stand next to where it would be inserted, and the only one that it may begin with
    stands just before.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._sorted: list[bytes] = []
        for stop in sorted(stop.encode() for stop in stops if stop):
            if not self._sorted or not stop.startswith(self._sorted[-1]):
                self._sorted.append(stop)
        first = bytes({stop[0] for stop in self._sorted})
        self._begins = re.compile(b"[" + re.escape(first) + b"]") if first else None

    def scan(self, held: bytes, start: int, begun: list[int]) -> tuple[int, list[int]]:
        """Look at the bytes from `start` on; before it a stop string can have begun at the places `begun` only.

        Returns where the earliest complete one begins, else -1, and all places where one may have begun.
        """
        if self._begins is None:
            return -1, begun
        possible: list[int] = []
        for place in [*begun, *(match.start() for match in self._begins.finditer(held, start))]:
            rest = held[place:]
            at = bisect_left(self._sorted, rest)
            if at < len(self._sorted) and self._sorted[at].startswith(rest):
                if len(self._sorted[at]) == len(rest):
                    return place, []
                possible.append(place)
            elif at and rest.startswith(self._sorted[at - 1]):
                return place, []
        return -1, possible
