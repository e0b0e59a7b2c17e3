"""Guesses from a smaller model with the same vocabulary.

It has a KV cache of its own, with the same sequence ids. Before each guess what it has stored of a sequence is compared
with the text: the common beginning stays, the rest is cut off, what is new is evaluated, a long prompt a batch a step.
Then it says the likeliest token, again and again, until it is not sure any more. All sequences share its batches.
"""

import logging
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.cache.growth import GrowingContext
from scheduler.runner.cache.prefix import common_prefix
from scheduler.runner.engine import ModelLoadError
from scheduler.runner.rows import Batch
from scheduler.runner.sequence import Proposal
from scheduler.runner.speculate.guess import NOTHING, Guess
from scheduler.runner.speculate.odds import Averages, Odds

log = logging.getLogger(__name__)

MOST: Final = 4
"""Tokens of a guess where nobody has set a number."""
_SURE: Final = 0.75
"""Below this probability of its best token the draft model is not believed, as llama.cpp's own examples have it."""
_SURER: Final = (0.9, 0.98)
_AT_FIRST: Final = (0.75, 0.85, 0.95)
"""Odds of a token that it gives a probability from 0.75, 0.9, 0.98, before any is known."""
_LEARNT: Final = 0.2
_CLOSE: Final = 16
"""New tokens of a sequence, up to which evaluating them counts as part of guessing."""


class DraftContext(Batch, GrowingContext, Protocol):
    """What is needed of `engine.Context`."""

    @property
    def batch_size(self) -> int: ...
    def decode(self, count: int, /) -> int: ...
    def logits(self, row: int, /) -> NDArray[np.float32]: ...
    def remove(self, sequence: int, start: int, end: int = -1, /) -> bool: ...


@dataclass(slots=True, eq=False)
class _Stored:
    """What the draft model has evaluated of a sequence."""

    tokens: list[int] = field(default_factory=list[int])
    key: int = -1
    """The request whose text its beginning is known to be."""
    agreed: int = 0
    """Length of that beginning."""


@dataclass(slots=True, eq=False)
class _Turn:
    """One sequence that is being guessed for."""

    sequence: int
    stored: _Stored
    tokens: Sequence[int]
    most: int
    take: int = 0
    """Tokens of it in the next batch."""
    found: list[int] = field(default_factory=list[int])
    kinds: list[int] = field(default_factory=list[int])

    @property
    def missing(self) -> int:
        return len(self.tokens) - len(self.stored.tokens)


class DraftModel:
    """A second model at work. Used by the engine's thread only."""

    def __init__(
        self,
        context: DraftContext,
        *,
        num_ctx: int,
        sequences: int,
        vocab_size: int,
        end_tokens: Container[int],
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """`num_ctx`: tokens that one of the `sequences` may have. `vocab_size`: the smaller of both models'."""
        self._context = context
        self._num_ctx = num_ctx
        self._sequences = sequences
        self._vocab_size = vocab_size
        self._end_tokens = end_tokens
        self._clock = clock
        self._stored: dict[int, _Stored] = {}
        self._odds = Averages(_AT_FIRST)
        self._of: dict[int, Odds] = {}
        self._kinds: dict[int, list[int]] = {}
        self.time = 0.0
        """Nanoseconds that guessing one token (of each sequence) takes; 0 until measured."""
        self.broken = False
        """It cannot be used any more."""

    def guess(self, wanted: Sequence[Proposal]) -> list[Guess | None]:
        """Continuations of at most `most` tokens each, empty where the model is not sure of any; None for a sequence
        that it has not read to the end yet, or cannot."""
        began = self._clock()
        turns = [turn for one in wanted if (turn := self._turn(one)) is not None]
        turns.sort(key=lambda turn: turn.sequence)
        close = all(turn.missing <= _CLOSE for turn in turns)
        rounds = 0
        under_way = turns
        while under_way:
            under_way = self._round(under_way)
            rounds += 1
        if rounds and close:
            each = (self._clock() - began) / rounds
            self.time += _LEARNT * (each - self.time) if self.time else each
        by_sequence = {turn.sequence: turn for turn in turns}
        return [self._finished(one, by_sequence.get(one.sequence)) for one in wanted]

    def settle(self, key: int, proposed: int, accepted: int) -> None:
        """What became of the latest guess, of which `proposed` tokens were verified."""
        if (kinds := self._kinds.pop(key, None)) is not None and (odds := self._of.get(key)) is not None:
            odds.learn_run(kinds[:proposed], accepted)

    def forget(self, key: int) -> None:
        """The request has ended. What is stored stays, for the next one that begins alike."""
        self._kinds.pop(key, None)
        self._of.pop(key, None)

    # -- reading along

    def _turn(self, wanted: Proposal) -> _Turn | None:
        """Make the stored tokens of a sequence a beginning of its text. None if it cannot be guessed for."""
        count = len(wanted.tokens)
        if self.broken or not self._room(count + wanted.most):
            return None
        stored = self._stored.setdefault(wanted.sequence, _Stored())
        common = min(_common(stored, wanted), count - 1)  # the last token is always evaluated, for what it predicts
        for token in wanted.tokens[common:]:
            if not 0 <= token < self._vocab_size:
                return None
        if common < len(stored.tokens):
            if not self._context.remove(wanted.sequence, common):
                self._break("it cannot forget the end of a text")
                return None
            del stored.tokens[common:]
        stored.key, stored.agreed = wanted.key, common
        return _Turn(wanted.sequence, stored, wanted.tokens, wanted.most)

    def _room(self, needed: int) -> bool:
        """Whether a sequence may have so many tokens; the cache grows where that is all it takes."""
        if needed <= self._context.capacity:
            return needed <= self._num_ctx
        if needed > self._num_ctx:
            return False
        cells = min(max(2 * self._context.capacity, needed), self._num_ctx) * self._sequences
        try:
            moved = self._context.move_to(self._context.larger(cells))
        except ModelLoadError:
            moved = False
        if not moved:
            self._break("there is no memory for a longer context")
        return moved

    def _finished(self, wanted: Proposal, turn: _Turn | None) -> Guess | None:
        if turn is None or self.broken or (not turn.found and turn.missing):
            return None
        if not turn.found:
            return NOTHING
        odds = self._of.setdefault(wanted.key, Odds(self._odds)).values
        self._kinds[wanted.key] = turn.kinds
        return Guess(turn.found, [odds[kind] for kind in turn.kinds])

    # -- computing

    def _round(self, turns: list[_Turn]) -> list[_Turn]:
        """Evaluate one batch, and take a token for each sequence that is read to its end; those that want another."""
        rows = self._fill(turns)
        result = self._context.decode(rows)
        if result != 0:
            self._break(f"it failed to decode (code {result})")
            return []
        again: list[_Turn] = []
        row = -1
        for turn in turns:
            if not turn.take:
                continue
            row += turn.take
            missing = turn.missing
            if turn.found:
                turn.stored.tokens.append(turn.found[-1])
            else:
                start = len(turn.stored.tokens)
                turn.stored.tokens.extend(turn.tokens[start : start + turn.take])
                if turn.take < missing:
                    continue  # goes on reading in the next step
            if self._say(turn, row):
                again.append(turn)
        return again

    def _fill(self, turns: list[_Turn]) -> int:
        context = self._context
        budget = context.batch_size
        for turn in sorted(turns, key=lambda turn: turn.missing):
            turn.take = min(1 if turn.found else turn.missing, budget)
            budget -= turn.take
        row = 0
        for turn in turns:
            start = len(turn.stored.tokens)
            end = row + turn.take
            if turn.found:
                context.tokens[row:end] = turn.found[-1]
            else:
                context.tokens[row:end] = turn.tokens[start : start + turn.take]
            context.positions[row:end] = range(start, start + turn.take)
            context.sequences[row:end] = turn.sequence
            context.outputs[row:end] = 0
            if turn.take:
                context.outputs[end - 1] = 1
            row = end
        return row

    def _say(self, turn: _Turn, row: int) -> bool:
        """Take the likeliest token if the model is sure of it; whether to ask for another after it."""
        logits = self._context.logits(row)
        token = int(logits.argmax())
        best = logits[token]
        sure = 1.0 / float(np.exp(logits - best).sum())
        if not sure >= _SURE or token >= self._vocab_size:
            return False
        turn.found.append(token)
        turn.kinds.append(sum(sure >= limit for limit in _SURER))
        return len(turn.found) < turn.most and token not in self._end_tokens

    def _break(self, why: str) -> None:
        log.warning("the draft model is not used any more: %s", why)
        self.broken = True


def _common(stored: _Stored, wanted: Proposal) -> int:
    """Length of the common beginning. Of a text that has only grown since, what was compared is not compared again."""
    have, tokens = stored.tokens, wanted.tokens
    start = stored.agreed
    if stored.key != wanted.key or start > len(tokens):
        start = 0
    return start + common_prefix(have[start:], tokens[start:])
