"""Biases and penalties, against their definitions."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.sampling.penalties import Bias, Penalties

VOCABULARY = 12


def adjusted(adjustment: Bias | Penalties, row: list[float]) -> list[float]:
    logits = np.array(row, np.float32)
    logits[adjustment.ids] = adjustment(logits.take(adjustment.ids))
    return logits.tolist()


def test_biases_are_added_and_those_of_one_token_add_up() -> None:
    assert adjusted(Bias([(1, 2.0), (0, -0.5), (1, 0.25)]), [1, 1, 1]) == [0.5, 3.25, 1]


def test_minus_infinity_forbids_a_token() -> None:
    assert adjusted(Bias([(1, 5.0), (1, -np.inf)]), [1, 1]) == [1, -np.inf]


@pytest.mark.parametrize("bias", [3e38, -3e38])
def test_no_bias_leaves_the_range_in_which_one_can_go_on_calculating(bias: float) -> None:
    (value,) = adjusted(Bias([(0, bias), (0, bias)]), [1])
    assert abs(value) == pytest.approx(1e30)


@given(
    tokens=st.lists(st.integers(0, VOCABULARY - 1), max_size=40),
    window=st.integers(1, 12),
    repeat=st.sampled_from([1.0, 1.5, 0.5]),
    frequency=st.sampled_from([0.0, 0.25, -0.5]),
    presence=st.sampled_from([0.0, 1.0]),
    row=st.lists(st.floats(-20, 20, width=32), min_size=VOCABULARY, max_size=VOCABULARY),
)
def test_the_last_tokens_count_and_no_others(
    tokens: list[int], window: int, repeat: float, frequency: float, presence: float, row: list[float]
) -> None:
    penalties = Penalties(window, repeat, frequency, presence)
    for token in tokens:
        penalties.note(token)
    counts = Counter(tokens[-window:])
    assert sorted(penalties.ids.tolist()) == sorted(counts)
    expected = [
        (value / repeat if value > 0 else value * repeat) - counts[token] * frequency - presence
        if counts[token]
        else value
        for token, value in enumerate(row)
    ]
    assert adjusted(penalties, row) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_window_of_many_different_tokens() -> None:
    penalties = Penalties(1_000, 1.0, 1.0, 0.0)
    for token in range(3_000):
        penalties.note(token % 1_500)
    assert sorted(penalties.ids.tolist()) == list(range(500, 1_500))


@pytest.mark.parametrize(
    "penalty", [(1e30, 0.0, 0.0), (1e-38, 0.0, 0.0), (1.0, 3e38, 3e38), (1.0, -3e38, 0.0), (1e-38, -3e38, -3e38)]
)
def test_penalties_without_measure_give_numbers(penalty: tuple[float, float, float]) -> None:
    penalties = Penalties(4, *penalty)
    for token in (0, 0, 1, 2):
        penalties.note(token)
    assert np.isfinite(adjusted(penalties, [50.0, -50.0, 0.0])).all()
