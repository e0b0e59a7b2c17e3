"""Log-probabilities of tokens, from the logits before anything bends them."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from scheduler.frames import Logprob, TopLogprob
from scheduler.runner.sampling.candidates import Values, highest

LOWEST: Final = -3.4028234663852886e38
"""Stands for a token that cannot occur, since JSON has no infinity: the lowest float32, as in llama.cpp's server."""


def logprob_of(logits: Values, token: int, top: int, piece: Callable[[int], bytes]) -> Logprob:
    """The entry of a token, with the `top` best candidates of its position in descending order.

    Candidates that cannot occur are left out.
    """
    total = _log_of_sum(logits)
    best: list[TopLogprob] = []
    if top > 0:
        ids, values = highest(logits, top)
        for one, value in zip(ids.tolist(), values.tolist(), strict=True):
            text, raw = _written(piece(one))
            best.append(TopLogprob(text, _bounded(value - total), raw))
    text, raw = _written(piece(token))
    return Logprob(text, _bounded(float(logits[token]) - total), best, raw)


def logprobs_of_rows(
    rows: Iterable[Values], tokens: Sequence[int], top: int, piece: Callable[[int], bytes]
) -> list[Logprob]:
    """`logprob_of` for each row, one after the other: what is worked out for one row is no larger than a row."""
    return [logprob_of(row, token, top, piece) for row, token in zip(rows, tokens, strict=True)]


def _log_of_sum(logits: Values) -> float:
    """The logarithm of the sum of all exponentials; NaN where there is no distribution."""
    highest = logits.max(initial=-np.inf)
    if not math.isfinite(highest):
        return math.nan
    with np.errstate(over="ignore"):
        return float(highest) + math.log(float(np.exp(logits - highest).sum(dtype=np.float64)))


def _bounded(logprob: float) -> float:
    return logprob if logprob > LOWEST else LOWEST


def _written(data: bytes) -> tuple[str, bytes | None]:
    """A token's text, and its bytes where the text does not tell them: it is part of a character."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), data
