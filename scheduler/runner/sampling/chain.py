"""From a request's sampling options to what chooses its tokens.

A row of logits passes: forbidden tokens and biases → penalties → top_k → typical_p → top_p → min_p → temperature →
random choice. The filters see the logits before temperature flattens or sharpens them. What would do nothing is left
out. The order, and the numbers that a seed gives, are those of llama.cpp's samplers, which get to see a few candidates;
what concerns the whole vocabulary is done by numpy (see docs/adr/0008-sampling.md).
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from scheduler.frames import Sampling
from scheduler.runner.engine import CandidateSampler
from scheduler.runner.sampling.candidates import Ids, Values
from scheduler.runner.sampling.choice import Best, Choice, Filtered, Mirostat, Shortlist
from scheduler.runner.sampling.penalties import Adjustment, Bias, Penalties
from scheduler.runner.sampling.randomness import uniform, word
from scheduler.runner.sequence import Matcher

_COLDEST: Final = 1e-6
"""Temperatures below it take the best token: the differences would leave the range of a float32."""
_MOST_CANDIDATES: Final = 256
"""Largest `top_k` that is left to llama.cpp's samplers."""
_FEW_WORDS: Final = 64
"""Words of a mask that are not zero."""
_AIM: Final = 4
_ROOM: Final = 6
"""Candidates for each of the `top_k`, and how many times that may be."""


class _Filters(TypedDict):
    top_k: int
    typical_p: float
    top_p: float
    min_p: float
    temperature: float


class SamplingError(ValueError):
    """An option cannot be met by this model. The client's fault."""


class Tokens(Protocol):
    """The part of a vocabulary that options need."""

    @property
    def size(self) -> int: ...
    @property
    def suppressed(self) -> Sequence[int]:
        """Tokens that the model's file forbids."""
        ...

    def tokenize(self, text: str, /) -> list[int]: ...


class Rows(Protocol):
    """Where logits come from: `engine.Context`."""

    def logits(self, row: int, /) -> Values:
        """What batch row `row` predicts; may be changed in place."""
        ...


class Chain:
    """Chooses the tokens of one request. Rows are left as they were."""

    def __init__(self, choice: Choice, bias: Bias | None = None, penalties: Penalties | None = None) -> None:
        self._choice = choice
        self._penalties = penalties
        self._adjustments: list[Adjustment] = [one for one in (bias, penalties) if one is not None]

    def sample(self, context: Rows, row: int) -> int:
        """Choose for batch row `row`, and take note of it."""
        logits = context.logits(row)
        return self._sample(logits, None) if self._adjustments else self._choice(logits)

    def sample_constrained(self, context: Rows, row: int, matcher: Matcher) -> int:
        """Choose what the matcher admits, and take note of it.

        Unless the mask is there and admits few, the first choice is free, and stands if it is admitted: the mask is
        needed for the others only. Where nothing is admitted a free choice stands too.
        """
        return self._sample(context.logits(row), matcher)

    def _sample(self, logits: Values, matcher: Matcher | None) -> int:
        changed = self._adjust(logits) if self._adjustments else ()
        token = self._choose(logits, matcher)
        for ids, values in reversed(changed):
            logits[ids] = values
        if self._penalties is not None:
            self._penalties.note(token)
        return token

    def _adjust(self, logits: Values) -> list[tuple[Ids, Values]]:
        """Change logits in place; what they were, to be put back from the last to the first."""
        changed: list[tuple[Ids, Values]] = []
        for adjust in self._adjustments:
            before = logits.take(adjust.ids)
            changed.append((adjust.ids, before))
            logits[adjust.ids] = adjust(before)
        return changed

    def _choose(self, logits: Values, matcher: Matcher | None) -> int:
        if matcher is None:
            return self._choice(logits)
        free = None
        if not (self._choice.adapts or (matcher.ready and few(matcher.mask()))):
            free = self._choice(logits)
            if matcher.admits(free):
                return free
        mask = matcher.mask()
        admitted = bits_set(mask, len(logits))
        if not len(admitted):
            return self._choice(logits) if free is None else free
        return int(admitted[0 if len(admitted) == 1 else self._choice(logits.take(admitted))])

    def close(self) -> None:
        """Free what is held outside Python; nothing can be chosen afterwards."""
        self._choice.close()


def few(mask: NDArray[np.int32]) -> bool:
    """Whether it admits so few tokens that choosing among them is quicker than choosing among all and looking."""
    return int(np.count_nonzero(mask)) <= _FEW_WORDS


def bits_set(mask: NDArray[np.int32], size: int) -> Ids:
    """The positions below `size` of the bits that are set, 32 to a word from the lowest."""
    words = mask.nonzero()[0]
    places, bits = np.unpackbits(mask.take(words).view(np.uint8), bitorder="little").reshape(-1, 32).nonzero()
    ids = words.take(places) * 32 + bits
    return ids[: int(ids.searchsorted(size))]


def build_chain(options: Sampling, *, vocabulary: Tokens, num_ctx: int, prompt: Sequence[int]) -> Chain:
    """A fresh chain for one request; its penalties have seen the end of the prompt. Raises `SamplingError`."""
    biases = resolve_biases(options, vocabulary)
    biases += [(token, -np.inf) for token in vocabulary.suppressed]
    return Chain(
        _choice(options, vocabulary.size), Bias(biases) if biases else None, _penalties(options, num_ctx, prompt)
    )


def resolve_biases(options: Sampling, vocabulary: Tokens) -> list[tuple[int, float]]:
    """The biases of a request with texts replaced by ids. Raises `SamplingError` where one is no token."""
    return [(_token(key, vocabulary), bias) for key, bias in options.logit_bias]


def _token(key: int | str, vocabulary: Tokens) -> int:
    if isinstance(key, int):
        if not 0 <= key < vocabulary.size:
            raise SamplingError(f"logit_bias: token {key} is not in the vocabulary of {vocabulary.size}")
        return key
    tokens = vocabulary.tokenize(key)
    if len(tokens) != 1:
        raise SamplingError(f"logit_bias: {key!r} is not one token but {len(tokens)}; give ids instead")
    return tokens[0]


def penalty_window(options: Sampling, num_ctx: int) -> int:
    """Tokens that the penalties look back on; 0 when no penalty acts."""
    neutral = options.repeat_penalty in (0.0, 1.0) and not options.presence_penalty and not options.frequency_penalty
    if neutral or options.repeat_last_n == 0:
        return 0
    return num_ctx if options.repeat_last_n < 0 else min(options.repeat_last_n, num_ctx)


def _penalties(options: Sampling, num_ctx: int, prompt: Sequence[int]) -> Penalties | None:
    window = penalty_window(options, num_ctx)
    if not window:
        return None
    repeat = options.repeat_penalty if options.repeat_penalty > 0 else 1.0
    penalties = Penalties(window, repeat, options.frequency_penalty, options.presence_penalty)
    for token in prompt[-window:]:
        penalties.note(token)
    return penalties


def _choice(options: Sampling, size: int) -> Choice:
    warm = options.temperature >= _COLDEST
    if not warm and options.typical_p >= 1:
        return Best()  # top_k, top_p and min_p never remove the best token
    if warm and options.mirostat in (1, 2):
        return Mirostat(
            options.mirostat,
            uniform(options.seed),
            temperature=options.temperature,
            tau=options.mirostat_tau,
            eta=options.mirostat_eta,
        )
    filters: _Filters = {
        "top_k": max(options.top_k, 0),
        "typical_p": options.typical_p,
        "top_p": options.top_p,
        "min_p": options.min_p,
        "temperature": options.temperature if warm else 0.0,
    }
    if not 0 < options.top_k <= _MOST_CANDIDATES:
        return Filtered(uniform(options.seed), **filters)
    aim = max(_AIM * options.top_k, _MOST_CANDIDATES)
    sampler = CandidateSampler(_ROOM * aim, seed=word(options.seed), **filters)
    return Shortlist(sampler, size=size, top_k=options.top_k, aim=aim, room=_ROOM * aim)
