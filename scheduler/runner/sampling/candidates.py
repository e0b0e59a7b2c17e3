"""The best of a row of logits, found without sorting the row.

A long row is folded: cut into pieces that are laid on top of each other, each column keeping its highest value. `count`
columns reach the count-th highest of these column tops, so at least `count` logits reach it too, and all of them stand
in those columns. What is left to look at is a few columns instead of the whole vocabulary.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.intp]
Values = NDArray[np.float32]

_COLUMNS: Final = 1024
_PIECES: Final = 16
"""A row is folded into so many pieces, or into fewer of at least so many columns."""
_SPARE: Final = 8
"""Columns for each value that is looked for: with fewer, too many of the best share one."""


class _Fold(NamedTuple):
    """How rows of one length are folded."""

    pieces: int
    width: int
    starts: NDArray[np.intp]
    """Where each piece begins; shape (pieces, 1)."""
    rest: NDArray[np.intp]
    """Ids behind the last piece."""


def highest(row: Values, count: int) -> tuple[Ids, Values]:
    """Ids and values of the `count` highest, in descending order, equal ones in ascending order of ids.

    What cannot be chosen is left out, so there may be fewer: minus infinity and NaN.
    """
    ids = _reaching_folded(row, count) if len(row) >= 2 * _SPARE * count else None
    if ids is None:
        ids = _exactly(row, count)
    values = row.take(ids)
    order = np.negative(values).argsort(kind="stable")[:count]
    return ids.take(order), values.take(order)


def _reaching_folded(row: Values, count: int) -> Ids | None:
    """All that reach some value which at least `count` reach; None if they are far more, or no such value is found."""
    fold = _fold(len(row), count)
    tops = np.maximum.reduce(row[: fold.pieces * fold.width].reshape(fold.pieces, fold.width), axis=0)
    least = floor(tops, count)
    columns = (tops >= least).nonzero()[0]
    if not count <= len(columns) <= 4 * count or not least > -np.inf:
        return None
    ids = (fold.starts + columns).ravel()
    if len(fold.rest):
        ids = np.concatenate((ids, fold.rest))
    return ids.take((row.take(ids) >= least).nonzero()[0])


def _exactly(row: Values, count: int) -> Ids:
    """The highest, and the first of those that are equal to the last of them; in no order."""
    possible = (row > -np.inf).nonzero()[0]
    if len(possible) <= count:
        return possible
    values = row.take(possible)
    last = np.partition(values, len(values) - count)[len(values) - count]
    above, equal = (values > last).nonzero()[0], (values == last).nonzero()[0]
    return possible.take(np.concatenate((above, equal[: count - len(above)])))


@lru_cache(maxsize=64)
def _fold(size: int, count: int) -> _Fold:
    pieces = max(size // max(_COLUMNS, _SPARE * count, size // _PIECES), 1)
    width = size // pieces
    end = pieces * width
    return _Fold(pieces, width, np.arange(0, end, width)[:, None], np.arange(end, size))


def floor(values: Values, count: int) -> np.float32:
    """A value that at least `count` of these reach and not many more; NaN where there are NaN."""
    size = len(values)
    if size <= count:
        return np.float32(-np.inf)
    width = _SPARE * count
    if size >= 4 * width:
        values = np.maximum.reduce(values[: size // width * width].reshape(-1, width), axis=0)
        size = width
    # Sorting beats partitioning as long as all fits the cache: it needs no branches.
    return np.sort(values)[size - count] if size <= 4096 else np.partition(values, size - count)[size - count]
