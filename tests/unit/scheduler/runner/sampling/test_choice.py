"""What the filters leave, and how often each of it is drawn."""

import math
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler.runner.sampling.candidates import Ids
from scheduler.runner.sampling.choice import Best, Choice, Filtered, Mirostat, Shortlist, drawn, nucleus, typical

Row = NDArray[np.float32]
SIZES = st.sampled_from([1, 2, 30, 300, 5_000, 20_000])
SHARES = st.floats(0, 0.999)


def logits(size: int, seed: int, spread: float) -> Row:
    return np.random.default_rng(seed).normal(0, spread, size).astype(np.float32)


def scores(size: int, seed: int, spread: float) -> Row:
    row = logits(size, seed, spread)
    return row - row.max()


def probabilities(row: Row) -> NDArray[np.float64]:
    weights = np.exp(row.astype(np.float64) - row.max())
    return weights / weights.sum()


def filtered(draw: Callable[[], float], **options: float) -> Filtered:
    neutral = {"top_k": 0, "typical_p": 1.0, "top_p": 1.0, "min_p": 0.0, "temperature": 1.0}
    return Filtered(draw, **{**neutral, **options})  # pyright: ignore[reportArgumentType]


class Told:
    """Samplers that remember what they were told of, and name the best."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.closed = False

    def choose(self, ids: Ids, logits: Row) -> int:
        self.ids = ids.tolist()
        return int(ids[logits.argmax()])

    def close(self) -> None:
        self.closed = True


class Undecided(Told):
    """Samplers that find no distribution."""

    def choose(self, ids: Ids, logits: Row) -> int:
        return -1


def shortlist(told: Told, size: int, *, top_k: int = 40, aim: int = 100, room: int = 600) -> Shortlist:
    return Shortlist(told, size=size, top_k=top_k, aim=aim, room=room)


def evenly(count: int) -> Iterator[float]:
    """Numbers that lie evenly in [0, 1): each token is drawn as often as it is probable."""
    return ((index + 0.5) / count for index in range(count))


def drawn_tokens(make: Callable[[Callable[[], float]], Choice], row: Row, count: int = 2_000) -> Counter[int]:
    numbers = evenly(count)
    choice = make(lambda: next(numbers))
    return Counter(choice(row) for _ in range(count))


# -- one filter at a time


@given(size=SIZES, seed=st.integers(0, 99), spread=st.sampled_from([0.0, 1.0, 8.0]), share=SHARES)
def test_a_nucleus_is_the_fewest_of_the_best_that_reach_its_share(
    size: int, seed: int, spread: float, share: float
) -> None:
    row = scores(size, seed, spread)
    chances = probabilities(row)
    kept = nucleus(row, share)
    assert len(set(kept.tolist())) == len(kept) > 0
    dropped = np.delete(chances, kept)
    assert chances[kept].sum() >= share - 1e-5
    assert chances[kept].sum() - chances[kept].min() <= share + 1e-5
    assert not len(dropped) or dropped.max() <= chances[kept].min()


@given(size=SIZES, seed=st.integers(0, 99), spread=st.sampled_from([1.0, 8.0]), share=SHARES)
def test_typical_tokens_are_as_surprising_as_expected(size: int, seed: int, spread: float, share: float) -> None:
    row = scores(size, seed, spread)
    chances = probabilities(row)
    with np.errstate(all="ignore"):
        expected = -np.where(chances > 0, chances * np.log(chances), 0).sum()
        distances = np.abs(-np.log(chances) - expected)
    kept = typical(row, share)
    assert len(set(kept.tolist())) == len(kept) > 0
    assert chances[kept].sum() >= share - 1e-5
    dropped = np.delete(distances, kept)
    assert not len(dropped) or dropped.min() >= distances[kept].max() - 1e-4
    if len(kept) < 256:
        assert np.all(np.diff(distances[kept]) >= -1e-4), "the nearest first"


@given(
    size=SIZES,
    seed=st.integers(0, 99),
    spread=st.sampled_from([0.0, 1.0, 8.0]),
    number=st.floats(0, 1, exclude_max=True),
)
def test_a_number_falls_on_a_token(size: int, seed: int, spread: float, number: float) -> None:
    """As if the probabilities were laid end to end."""
    row = scores(size, seed, spread)
    sums = probabilities(row).cumsum()
    place = drawn(row, number)
    assert sums[place] >= number - 1e-5
    assert place == 0 or sums[place - 1] <= number + 1e-5


# -- all of them


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    row = np.log(np.array([0.5, 0.2, 0.3], np.float32)) + 7
    drawn = drawn_tokens(filtered, row, 1_000)
    assert [drawn[token] for token in range(3)] == [500, 200, 300]


def test_temperature_acts_after_the_filters() -> None:
    row = np.log(np.array([0.6, 0.3, 0.1], np.float32))
    assert set(drawn_tokens(lambda draw: filtered(draw, top_p=0.85, temperature=100.0), row)) == {0, 1}
    drawn = drawn_tokens(lambda draw: filtered(draw, top_p=0.85, temperature=0.5), row, 1_000)
    assert [drawn[0], drawn[1]] == [800, 200]  # 0.6² : 0.3²


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"top_k": 1}, {1}),
        ({"top_k": 2}, {1, 2}),
        ({"top_p": 0.0}, {1}),
        ({"top_p": 0.5}, {1, 2}),
        ({"min_p": 0.5}, {1, 2}),
        ({"min_p": 1.0}, {1}),
        ({"min_p": 5.0}, {1}),
        ({"top_k": 3, "min_p": 0.2}, {1, 2, 3}),
    ],
)
def test_what_is_left(options: dict[str, float], left: set[int]) -> None:
    row = np.log(np.array([0.05, 0.45, 0.3, 0.2], np.float32))
    assert set(drawn_tokens(lambda draw: filtered(draw, **options), row)) == left


def test_without_temperature_the_best_of_what_is_left_is_taken() -> None:
    row = np.log(np.array([0.5, 0.2, 0.15, 0.15], np.float32))
    assert filtered(lambda: 0.99, typical_p=0.1, temperature=0.0)(row) == int(typical(row - row.max(), 0.1)[0])
    assert filtered(lambda: 0.99, top_k=3, temperature=0.0)(row) == 0


def test_of_two_equal_the_first_is_the_best() -> None:
    assert Best()(np.array([1, 3, 3], np.float32)) == 1


# -- the shortlist


@given(
    size=st.sampled_from([10, 40, 700, 5_000, 20_000]),
    top_k=st.sampled_from([1, 40, 100]),
    levels=st.lists(st.tuples(st.integers(0, 9), st.floats(-5, 5), st.sampled_from([0.0, 0.5, 1.0, 9.0])), max_size=8),
    steps=st.sampled_from([None, 1, 3]),
)
def test_the_best_are_always_on_the_shortlist(
    size: int, top_k: int, levels: list[tuple[int, float, float]], steps: int | None
) -> None:
    """However rows follow each other: higher, lower, flatter, steeper, with many equal values."""
    told = Told()
    choice = shortlist(told, size, top_k=top_k)
    for seed, level, spread in levels:
        row = logits(size, seed, spread) + np.float32(level)
        row = row if steps is None else np.round(row * steps)
        assert row[choice(row)] == row.max()
        assert len(told.ids) <= max(600, top_k)
        assert len(set(told.ids)) == len(told.ids)
        assert sorted(row[told.ids].tolist())[-top_k:] == np.sort(row)[-top_k:].tolist()


def test_the_threshold_stays_as_long_as_it_does_its_work() -> None:
    told = Told()
    choice = shortlist(told, 5_000)
    row = logits(5_000, 1, 1.0)
    choice(row)
    first = set(told.ids)
    choice(row + np.float32(0.2))
    assert first < set(told.ids), "more reach the same threshold"
    choice(row + np.float32(5))
    assert set(told.ids) == first, "it has moved"


def test_a_part_of_a_row_does_not_move_the_threshold() -> None:
    """As when a constraint has left some tokens only."""
    told = Told()
    choice = shortlist(told, 5_000)
    row = logits(5_000, 1, 1.0)
    choice(row)
    first = told.ids
    assert choice(row[:3]) == int(row[:3].argmax())
    choice(row[:700] - np.float32(50))
    choice(row)
    assert told.ids == first


def test_where_the_samplers_find_no_distribution_the_best_is_named() -> None:
    assert shortlist(Undecided(), 700)(np.array([1, np.inf] + [0] * 698, np.float32)) == 1


def test_the_samplers_are_closed_with_it() -> None:
    told = Told()
    shortlist(told, 10).close()
    assert told.closed


# -- Mirostat


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_holds_the_surprise(version: int) -> None:
    """The mean surprise comes near the target, in a vocabulary whose own is far higher."""
    random = np.random.default_rng(5)
    row = (-1.2 * np.log(np.arange(1, 5_001))).astype(np.float32)
    choice = Mirostat(version, random.random, temperature=1.0, tau=3.0, eta=0.1)
    surprises = -np.log2(probabilities(row))
    chosen = [choice(row) for _ in range(3_000)][500:]
    assert float(surprises[chosen].mean()) < 5 < float((surprises * probabilities(row)).sum())
    assert choice.adapts


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_takes_the_best_when_nothing_may_surprise(version: int) -> None:
    choice = Mirostat(version, lambda: 0.99, temperature=1.0, tau=-100.0, eta=0.0)
    assert choice(np.array([1, 5, 2], np.float32)) == 1


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("tau", "eta"), [(3e38, 0.1), (-3e38, 3e38), (0.0, -3e38), (5.0, 0.1)])
@pytest.mark.parametrize("size", [1, 2, 200])
def test_mirostat_survives_any_setting(version: int, tau: float, eta: float, size: int) -> None:
    choice = Mirostat(version, lambda: 0.5, temperature=0.8, tau=tau, eta=eta)
    for seed in range(5):
        assert 0 <= choice(logits(size, seed, 2.0)) < size
    assert 0 <= choice(np.zeros(size, np.float32)) < size


# -- rows that are no distribution

CHOICES: list[Choice] = [
    Best(),
    shortlist(Told(), 1),
    shortlist(Told(), 3),
    shortlist(Told(), 100),
    shortlist(Told(), 20_000),
    filtered(lambda: 0.5),
    filtered(lambda: 0.5, top_k=500),
    filtered(lambda: 0.5, top_p=0.5),
    filtered(lambda: 0.5, typical_p=0.5),
    filtered(lambda: 0.5, min_p=0.5),
    Mirostat(1, lambda: 0.5, temperature=1.0, tau=5.0, eta=0.1),
    Mirostat(2, lambda: 0.5, temperature=1.0, tau=5.0, eta=0.1),
]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("size", [1, 100, 20_000])
def test_where_nothing_can_be_chosen_the_answer_points_at_it(choice: Choice, value: float, size: int) -> None:
    """The token that is named has no finite logit: whoever asked can see it."""
    row = np.full(size, value, np.float32)
    assert not math.isfinite(row[choice(row)])


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("size", [3, 100, 20_000])
def test_some_nan_neither_crash_nor_hang(choice: Choice, size: int) -> None:
    row = logits(size, 1, 1.0)
    row[:: max(size // 7, 2)] = math.nan
    assert 0 <= choice(row) < size


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("size", [3, 100, 20_000])
def test_impossible_tokens_are_not_chosen(choice: Choice, size: int) -> None:
    row = np.full(size, -np.inf, np.float32)
    row[size // 2] = 1
    row[size - 1] = 0
    assert choice(row) in (size // 2, size - 1)
