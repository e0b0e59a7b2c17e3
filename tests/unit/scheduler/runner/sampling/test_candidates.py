"""The best of a row, found without sorting it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler.runner.sampling.candidates import highest

Row = NDArray[np.float32]


def by_sorting(row: Row, count: int) -> list[int]:
    order = np.lexsort((np.arange(len(row)), -row))
    return [int(token) for token in order if row[token] > -np.inf][:count]


def rows(size: int, seed: int, levels: int | None) -> Row:
    """Distinct values, or few different ones so that most are equal to others."""
    random = np.random.default_rng(seed)
    return (random.normal(size=size) if levels is None else random.integers(levels, size=size)).astype(np.float32)


@given(
    size=st.sampled_from([1, 2, 40, 319, 640, 641, 2_500, 5_000, 17_003, 40_000]),
    count=st.sampled_from([1, 2, 20, 40, 100, 1_000]),
    seed=st.integers(0, 1 << 30),
    levels=st.sampled_from([None, None, 1, 2, 50]),
)
def test_they_are_those_that_sorting_finds(size: int, count: int, seed: int, levels: int | None) -> None:
    """Equal ones in ascending order of ids, wherever in the vocabulary they stand."""
    row = rows(size, seed, levels)
    ids, values = highest(row, count)
    assert ids.tolist() == by_sorting(row, count)
    assert values.tolist() == row[ids].tolist()


@pytest.mark.parametrize("size", [50, 5_000, 40_000])
@pytest.mark.parametrize("possible", [0, 1, 5, 41])
def test_what_is_impossible_is_left_out(size: int, possible: int) -> None:
    row = np.full(size, -np.inf, np.float32)
    row[np.random.default_rng(1).choice(size, possible, replace=False)] = np.arange(possible)
    ids, _ = highest(row, 40)
    assert ids.tolist() == by_sorting(row, 40)


@pytest.mark.parametrize("size", [50, 5_000, 40_000])
def test_values_that_are_not_numbers_are_never_among_them(size: int) -> None:
    row = rows(size, 1, None)
    row[::7] = np.nan
    ids, values = highest(row, 10)
    assert len(ids)
    assert np.isfinite(values).all()
    assert len(highest(np.full(size, np.nan, np.float32), 10)[0]) == 0


@pytest.mark.parametrize("place", [0, 39_936, 39_999])
def test_the_ends_of_a_row_that_does_not_divide_evenly(place: int) -> None:
    row = rows(40_000, 2, None)
    row[place] = 100
    assert highest(row, 3)[0][0] == place
