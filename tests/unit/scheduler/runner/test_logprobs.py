"""Log-probabilities from raw logits."""

import math

import numpy as np

from scheduler.runner.logprobs import logprob_of


def letter(token: int) -> bytes:
    return bytes([97 + token])


def test_they_are_the_softmax_of_the_logits() -> None:
    logits = np.log(np.array([0.1, 0.6, 0.3], np.float32)) + 5
    entry = logprob_of(logits, 2, 2, letter)
    assert entry.token == "c"
    assert math.isclose(entry.logprob, math.log(0.3), abs_tol=1e-5)
    assert [one.token for one in entry.top] == ["b", "c"]
    assert math.isclose(entry.top[0].logprob, math.log(0.6), abs_tol=1e-5)


def test_no_candidates_unless_asked_for() -> None:
    assert logprob_of(np.zeros(4, np.float32), 0, 0, letter).top == []


def test_more_candidates_than_tokens() -> None:
    assert len(logprob_of(np.zeros(4, np.float32), 0, 20, letter).top) == 4
