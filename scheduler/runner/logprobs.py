"""Log-probabilities of tokens, from the logits before anything bends them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scheduler.frames import Logprob, TopLogprob


def logprob_of(logits: NDArray[np.float32], token: int, top: int, piece: Callable[[int], bytes]) -> Logprob:
    """The entry of a chosen token, with the `top` best candidates of its position in descending order."""
    highest = logits.max()
    total = float(highest) + float(np.log(np.exp(logits - highest, dtype=np.float32).sum(dtype=np.float64)))

    def text(token: int) -> str:
        return piece(token).decode("utf-8", "replace")

    best: list[TopLogprob] = []
    if top > 0:
        count = min(top, len(logits))
        candidates = np.argpartition(logits, -count)[-count:]
        order = candidates[np.argsort(-logits[candidates], kind="stable")]
        best = [TopLogprob(text(int(one)), float(logits[one]) - total) for one in order]
    return Logprob(text(token), float(logits[token]) - total, best)
