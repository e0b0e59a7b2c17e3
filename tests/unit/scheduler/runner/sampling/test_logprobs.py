"""Log-probabilities from raw logits."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.frames import Logprob, TopLogprob
from scheduler.runner.sampling.logprobs import LOWEST, logprob_of, logprobs_of_rows


def letter(token: int) -> bytes:
    return bytes([97 + token])


def number(token: int) -> bytes:
    return str(token).encode()


def test_they_are_the_softmax_of_the_logits() -> None:
    logits = np.log(np.array([0.1, 0.6, 0.3], np.float32)) + 5
    entry = logprob_of(logits, 2, 2, letter)
    assert entry.token == "c"
    assert math.isclose(entry.logprob, math.log(0.3), abs_tol=1e-5)
    assert [one.token for one in entry.top] == ["b", "c"]
    assert math.isclose(entry.top[0].logprob, math.log(0.6), abs_tol=1e-5)


@given(
    seed=st.integers(0, 99), size=st.sampled_from([1, 7, 2_500, 40_000]), shift=st.sampled_from([-500.0, 0.0, 500.0])
)
def test_a_vocabulary_as_large_as_they_come(seed: int, size: int, shift: float) -> None:
    """The best in descending order, and probabilities that add up to 1."""
    logits = (np.random.default_rng(seed).normal(0, 4, size) + shift).astype(np.float32)
    entry = logprob_of(logits, seed % size, 20, number)
    exact = logits.astype(np.float64)
    exact -= exact.max() + math.log(np.exp(exact - exact.max()).sum())
    order = np.argsort(-exact, kind="stable")[:20]
    assert entry.logprob == pytest.approx(exact[seed % size], abs=1e-4)
    assert [int(one.token) for one in entry.top] == order.tolist()
    assert [one.logprob for one in entry.top] == pytest.approx(exact[order].tolist(), abs=1e-4)


def test_no_candidates_unless_asked_for() -> None:
    assert logprob_of(np.zeros(4, np.float32), 0, 0, letter).top == []


def test_more_candidates_than_tokens() -> None:
    assert len(logprob_of(np.zeros(4, np.float32), 0, 20, letter).top) == 4


def test_equal_candidates_come_in_the_order_of_their_ids() -> None:
    entry = logprob_of(np.zeros(26, np.float32), 3, 3, letter)
    assert [one.token for one in entry.top] == ["a", "b", "c"]


def test_a_token_that_is_part_of_a_character_keeps_its_bytes() -> None:
    pieces = {0: b"\xc3", 1: "é".encode(), 2: b""}
    entry = logprob_of(np.array([2, 1, 0], np.float32), 0, 3, pieces.__getitem__)
    assert (entry.token, entry.raw) == ("\ufffd", b"\xc3")
    assert [(one.token, one.raw) for one in entry.top] == [("\ufffd", b"\xc3"), ("é", None), ("", None)]


def test_what_cannot_occur_has_a_finite_number_and_is_no_candidate() -> None:
    """JSON has no infinity."""
    entry = logprob_of(np.array([0, -np.inf, 0], np.float32), 1, 3, letter)
    assert entry.logprob == LOWEST == float(np.finfo(np.float32).min)
    assert [one.token for one in entry.top] == ["a", "c"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("places", [slice(None), slice(1, 2)])
def test_rows_that_are_no_distribution_give_json(value: float, places: slice) -> None:
    logits = np.zeros(3, np.float32)
    logits[places] = value
    entry = logprob_of(logits, 0, 3, letter)
    json.dumps([entry.logprob, *(one.logprob for one in entry.top)], allow_nan=False)


def test_many_rows_are_each_like_one() -> None:
    rows = np.random.default_rng(1).normal(size=(5, 26)).astype(np.float32)
    tokens = [3, 1, 4, 1, 5]
    expected = [logprob_of(row, token, 2, letter) for row, token in zip(rows, tokens, strict=True)]
    assert logprobs_of_rows(rows, tokens, 2, letter) == expected
    assert logprobs_of_rows(iter(rows), tokens, 2, letter) == expected
    assert isinstance(expected[0], Logprob)
    assert isinstance(expected[0].top[0], TopLogprob)
