"""How a token is chosen from a row of adjusted logits.

Each choice is called with a row and answers with an id. Where nothing can be chosen, because the row holds NaN or only
minus infinity, the answer is an id whose logit is not finite.
"""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.sampling.candidates import Ids, Values, floor, highest

_LOG_2: Final = math.log(2)
_BLOCK: Final = 256
_FEW: Final = 256
"""So many usually hold the share that is wanted."""
_MANY: Final = 4096
"""So many are sorted without hesitation."""
_FITTED: Final = 100
"""Tokens that Mirostat 1 fits a power law to."""


class Choice(ABC):
    """Chooses from rows of logits."""

    adapts: ClassVar[bool] = False
    """Whether a choice changes the next one by more than taking a random number."""

    @abstractmethod
    def __call__(self, row: Values, /) -> int:
        """The id chosen."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Free what is held outside Python."""


class Best(Choice):
    """The highest logit, the lower id of two."""

    def __call__(self, row: Values) -> int:
        return int(row.argmax())


class Sampler(Protocol):
    """Samplers that keep the best k of some candidates and draw from what their filters leave of them."""

    def choose(self, ids: Ids, logits: Values, /) -> int:
        """The id of the one drawn; -1 where the logits are no distribution."""
        ...

    def close(self) -> None: ...


class Shortlist(Choice):
    """Leaves the choice to samplers, and tells them only of the tokens that reach a threshold.

    As long as these are enough, the best `top_k` are among them. The threshold is that of an earlier row: it is moved
    when a row has too few or too many, which costs as much as the rest. Right after a decode, when nothing is in the
    caches, what counts is the number of different steps more than their length.
    """

    def __init__(self, sampler: Sampler, *, size: int, top_k: int, aim: int, room: int) -> None:
        """`size`: length of a whole row. `aim`: candidates after a move. `room`: most that the samplers take."""
        self._sampler = sampler
        self._size = size
        self._top_k = top_k
        self._aim = aim
        self._room = room
        self._threshold = np.float32(np.inf)

    def __call__(self, row: Values) -> int:
        ids = (row >= self._threshold).nonzero()[0]
        if not self._top_k <= len(ids) <= self._room or len(row) != self._size:
            ids = self._other_candidates(row)
        token = self._sampler.choose(ids, row.take(ids)) if len(ids) else -1
        return token if token >= 0 else int(row.argmax())

    def _other_candidates(self, row: Values) -> Ids:
        if len(row) == self._size:
            self._threshold = floor(row, self._aim)
            ids = (row >= self._threshold).nonzero()[0]
            if self._top_k <= len(ids) <= self._room:
                return ids
        return highest(row, self._top_k)[0]

    def close(self) -> None:
        self._sampler.close()


class Filtered(Choice):
    """Filters leave some tokens, of which one is drawn by its probability; temperature acts after the filters.

    `temperature` 0 takes the best that is left. Neutral values switch a filter off: `top_k` 0, `typical_p` 1, `top_p`
    1, `min_p` 0.
    """

    def __init__(
        self, draw: Callable[[], float], *, top_k: int, typical_p: float, top_p: float, min_p: float, temperature: float
    ) -> None:
        self._draw = draw
        self._top_k = top_k
        self._typical_p = typical_p
        self._top_p = top_p
        self._least = math.log(min(min_p, 1.0)) if min_p > 0 else None
        self._temperature = np.float32(temperature)

    def __call__(self, row: Values) -> int:
        with np.errstate(over="ignore", invalid="ignore"):
            return self._choose(row)

    def _choose(self, row: Values) -> int:
        few = 0 < self._top_k < len(row)
        ids, values = highest(row, self._top_k) if few else (None, row)
        best = values.max(initial=-np.inf)
        if not math.isfinite(best):
            return int(row.argmax())
        scores = values - best
        if self._typical_p < 1:
            kept = typical(scores, self._typical_p)
            ids, scores = _pick(ids, kept), scores.take(kept)
            scores -= scores.max()
        if self._top_p < 1:
            kept = nucleus(scores, self._top_p)
            ids, scores = _pick(ids, kept), scores.take(kept)
        if self._least is not None:
            kept = (scores >= self._least).nonzero()[0]
            ids, scores = _pick(ids, kept), scores.take(kept)
        place = drawn(scores / self._temperature, self._draw()) if self._temperature > 0 else int(scores.argmax())
        return place if ids is None else int(ids[place])


def _pick(ids: Ids | None, kept: Ids) -> Ids:
    return kept if ids is None else ids.take(kept)


def drawn(scores: Values, number: float) -> int:
    """A place drawn by probability, from logits whose highest is about 0 and a number in [0, 1)."""
    weights = np.exp(scores)
    if len(weights) <= _BLOCK:
        return _reached(weights, number * float(weights.sum(dtype=np.float64)))
    # Running sums of a whole vocabulary take longer than all the rest: first the block, then the place in it.
    blocks = np.add.reduceat(weights, np.arange(0, len(weights), _BLOCK)).astype(np.float64)
    wanted = number * float(blocks.sum())
    block = _reached(blocks, wanted)
    start = block * _BLOCK
    return start + _reached(weights[start : start + _BLOCK], wanted - float(blocks[:block].sum()))


def _reached(weights: NDArray[Any], wanted: float) -> int:
    """Where the running sum of the weights reaches a value; the last place if rounding keeps it below."""
    sums = weights.cumsum(dtype=np.float64)
    return min(int(sums.searchsorted(wanted)), len(sums) - 1)


def nucleus(scores: Values, share: float) -> Ids:
    """The fewest of the best that together reach this share of the probability, in descending order."""
    return _leading(scores, np.exp(scores), share, "left")


def typical(scores: Values, share: float) -> Ids:
    """Those whose surprise is nearest to the expected one, until they exceed this share; the nearest first.

    Locally typical sampling (Meister and others, 2022).
    """
    weights = np.exp(scores)
    total = float(weights.sum(dtype=np.float64))
    surprises = math.log(total) - scores
    expected = float(np.where(weights > 0, weights * surprises, 0).sum(dtype=np.float64)) / total
    return _leading(-np.abs(surprises - np.float32(expected)), weights, share, "right")


def _leading(keys: Values, weights: Values, share: float, side: Literal["left", "right"]) -> Ids:
    """The fewest of the highest keys whose weights reach ("left") or exceed ("right") this share of the whole.

    Few come in descending order of keys, many in none.
    """
    target = share * float(weights.sum(dtype=np.float64))
    suffices = operator.ge if side == "left" else operator.gt
    first, _ = highest(keys, _FEW)
    if suffices(float(weights.take(first).sum(dtype=np.float64)), target):
        return _cut(first, weights, target, side)
    taken: list[Ids] = []
    ids = np.arange(len(keys))
    while len(ids) > _MANY:  # halve by keys, and go on in the half in which the sum reaches the target
        order = keys.take(ids).argpartition(len(ids) // 2)
        lower, upper = ids.take(order[: len(ids) // 2]), ids.take(order[len(ids) // 2 :])
        weight = float(weights.take(upper).sum(dtype=np.float64))
        if suffices(weight, target):
            ids = upper
        else:
            taken.append(upper)
            target -= weight
            ids = lower
    ids = ids.take(np.negative(keys.take(ids)).argsort(kind="stable"))
    return np.concatenate((*taken, _cut(ids, weights, target, side)))


def _cut(ids: Ids, weights: Values, target: float, side: Literal["left", "right"]) -> Ids:
    sums = weights.take(ids).cumsum(dtype=np.float64)
    return ids[: int(sums.searchsorted(target, side)) + 1]


class Mirostat(Choice):
    """Keeps the surprise of the text near a target (Basu and others, 2021), in version 1 or 2."""

    adapts: ClassVar = True

    def __init__(self, version: int, draw: Callable[[], float], *, temperature: float, tau: float, eta: float) -> None:
        self._survivors = _by_rank if version == 1 else _by_surprise
        self._draw = draw
        self._temperature = np.float32(temperature)
        self._tau, self._eta = tau, eta
        self._limit = 2 * tau

    def __call__(self, row: Values) -> int:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self._choose(row)

    def _choose(self, row: Values) -> int:
        best = row.max()
        if not math.isfinite(best):
            return int(row.argmax())
        ids, scores = self._survivors((row - best) / self._temperature, self._limit)
        place = drawn(scores, self._draw()) if len(ids) > 1 else 0  # the only one takes no number from the stream
        total = float(np.exp(scores).sum(dtype=np.float64))
        surprise = (math.log(total) - float(scores[place])) / _LOG_2
        self._limit -= self._eta * (surprise - self._tau)
        return int(ids[place])


def _by_rank(scores: Values, limit: float) -> tuple[Ids, Values]:
    """As many of the best as Zipf's law, fitted to the first of them, gives this surprise."""
    best = highest(scores, _FITTED)[1].astype(np.float64)
    ranks = np.arange(1, len(best))
    steps = np.log((ranks + 1) / ranks)
    exponent = (steps * (best[:-1] - best[1:])).sum() / (steps * steps).sum()
    excess = exponent - 1
    size = len(scores)
    count = (excess * np.exp2(limit) / (1 - np.float64(size) ** -excess)) ** (1 / exponent)
    return highest(scores, max(int(count), 1) if count < size else size)


def _by_surprise(scores: Values, limit: float) -> tuple[Ids, Values]:
    """Those of at most this surprise, in descending order; the best in any case."""
    total = float(np.exp(scores).sum(dtype=np.float64))
    ids = (scores >= math.log(total) - limit * _LOG_2).nonzero()[0]
    return highest(scores, len(ids) or 1)
