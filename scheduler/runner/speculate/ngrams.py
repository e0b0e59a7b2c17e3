"""Where the newest tokens of a text have stood in it before.

For every run of 2, 3 and 4 tokens the place after its last occurrence is kept, in a table of fixed size addressed by a
hash of the run. Two runs may share an address: then the newer wins, and whoever asks compares the tokens anyway. That
makes a table of 4-byte numbers enough, which a long prompt fills quickly.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

_SHORTEST: Final = 2
_LONGEST: Final = 4
_FACTOR: Final = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: multiplying by it spreads neighbours over the upper bits."""
_MASK: Final = (1 << 64) - 1
_SMALLEST: Final = 10
"""Bits of an address in a new table."""
_CHUNK: Final = 1024
"""Tokens entered in one go, so that no step is delayed by more than some 100 µs."""
_FEW: Final = 8
"""Up to so many tokens are entered one by one."""


class NgramIndex:
    """The runs of one growing text."""

    __slots__ = ("_entered", "_known", "_shift", "_tables", "_views")

    def __init__(self, length: int) -> None:
        """For a text that has `length` tokens at first."""
        self._allocate(length)

    def _allocate(self, length: int) -> None:
        bits = max((4 * length).bit_length(), _SMALLEST)
        self._shift = 64 - bits
        self._tables = [np.full(1 << bits, -1, np.int32) for _ in range(_SHORTEST, _LONGEST + 1)]
        self._views = [table.data for table in self._tables]
        self._entered = 0
        self._known: tuple[int, list[int]] = (-1, [])
        """The token that `find` was last asked for, and the addresses of the runs that end with it."""

    def extend(self, tokens: Sequence[int]) -> None:
        """Enter what has been added to the text, but for its last token: what follows that is not known yet. Of a long
        addition a part is left for the next call."""
        end = len(tokens) - 1
        if 2 * end > len(self._views[0]):
            self._allocate(2 * end)
        start = self._entered
        if end - start > _FEW:
            end = min(end, start + _CHUNK)
            self._enter_many(tokens, start, end)
        else:
            for last in range(start, end):
                for view, address in zip(self._views, self._addresses(tokens, last), strict=False):
                    view[address] = last + 1
        self._entered = max(start, end)

    def find(self, tokens: Sequence[int]) -> int:
        """The place after the last earlier occurrence of the longest run that ends the text; -1: there is none."""
        last = len(tokens) - 1
        addresses = self._addresses(tokens, last)
        self._known = (last, addresses)
        for index in range(len(addresses) - 1, -1, -1):
            place = self._views[index][addresses[index]]
            if place >= 0:
                length = index + _SHORTEST
                if tokens[place - length : place] == tokens[last + 1 - length :]:
                    return place
        return -1

    def _addresses(self, tokens: Sequence[int], last: int) -> list[int]:
        """Of the runs that end with token `last`, the shortest first."""
        known, addresses = self._known
        if known == last:
            return addresses
        if last < _LONGEST - 1:
            return [_hash(tokens[last + 1 - length : last + 1]) >> self._shift for length in range(2, last + 2)]
        first, second, third, fourth = tokens[last - 3 : last + 1]
        two = ((fourth + 1) * _FACTOR + third + 1) * _FACTOR & _MASK
        three = (two + second + 1) * _FACTOR & _MASK
        four = (three + first + 1) * _FACTOR & _MASK
        return [two >> self._shift, three >> self._shift, four >> self._shift]

    def _enter_many(self, tokens: Sequence[int], start: int, end: int) -> None:
        begin = max(start - _LONGEST + 1, 0)
        array = np.array(tokens[begin:end], np.int64).astype(np.uint64)
        factor, one, shift = np.uint64(_FACTOR), np.uint64(1), np.uint64(self._shift)
        places = np.arange(begin + 1, end + 1, dtype=np.int32)
        values = (array + one) * factor
        for length in range(_SHORTEST, min(_LONGEST, len(array)) + 1):
            values = (values[1:] + array[: 1 - length] + one) * factor
            # Of equal addresses the last one stays, which is the newest place.
            self._tables[length - _SHORTEST][values >> shift] = places[length - 1 :]


def _hash(run: Sequence[int]) -> int:
    value = 0
    for token in reversed(run):
        value = (value + token + 1) * _FACTOR & _MASK
    return value
