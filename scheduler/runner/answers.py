"""What becomes of the logits: a token is chosen, its text is said, and it may be the last."""

import logging
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.outbox import Outbox
from scheduler.runner.sampling.logprobs import logprob_of, logprobs_of_rows
from scheduler.runner.sequence import FinishReason, Running

log = logging.getLogger(__name__)

NOT_A_NUMBER = (
    "the model computed values that are not numbers: its file is damaged, or its type does not fit the device"
)


class Logits(Protocol):
    """The part of `engine.Context` that choosing needs."""

    @property
    def can_shift(self) -> bool: ...

    def logits(self, row: int, /) -> NDArray[np.float32]:
        """What batch row `row` predicts; valid until the next decode."""
        ...

    def logit(self, row: int, token: int, /) -> float:
        """One of them."""
        ...


class Words(Protocol):
    """The part of a loaded model that saying needs."""

    @property
    def num_ctx(self) -> int: ...
    @property
    def end_tokens(self) -> frozenset[int]: ...
    @property
    def piece(self) -> Callable[[int], bytes]: ...
    @property
    def written_piece(self) -> Callable[[int], bytes]: ...
    def tokenize(self, text: str, /) -> list[int]: ...


class Broken(Exception):
    """A sequence cannot go on: its logits are no distribution, or its grammar knows no way on."""


class Answers:
    """Says what running sequences choose."""

    def __init__(self, words: Words, context: Logits, outbox: Outbox) -> None:
        self._words = words
        self._context = context
        self._outbox = outbox

    def choose(self, running: Running, row: int, now: int) -> FinishReason | None:
        """Choose a token from batch row `row`, and one more for each proposed token that was chosen too.

        Returns why the answer is complete, if it is. Raises `Broken`.
        """
        tokens = running.slot.tokens
        for proposed in running.draft:
            reason = self._choose_one(running, row, now)
            if reason is not None or running.token != proposed:
                return reason
            tokens.append(proposed)  # it is stored already
            running.accepted += 1
            row += 1
        return self._choose_one(running, row, now)

    def _choose_one(self, running: Running, row: int, now: int) -> FinishReason | None:
        request, matcher = running.request, running.matcher
        if matcher is not None and matcher.active:
            matcher.prepare()
            token = running.chain.sample_constrained(self._context, row, matcher)
        else:
            token = running.chain.sample(self._context, row)
        if not self._context.logit(row, token) > -math.inf:
            raise Broken(NOT_A_NUMBER)
        running.generated += 1
        if not running.prefilled:
            running.prefilled = now
        if token in self._words.end_tokens:
            return "stop"
        ended = matcher is not None and matcher.consume(token)
        if ended and matcher is not None and matcher.error:
            raise Broken(f"the structured output cannot be completed: {matcher.error}")
        entry = None
        if request.logprobs is not None:
            entry = logprob_of(self._context.logits(row), token, request.logprobs, self._words.written_piece)
        piece = self._words.written_piece(token) if token in running.preserved else self._words.piece(token)
        text = running.text
        self._say(running, text.push(piece, entry))
        running.token = token
        if running.history is not None:
            running.history.append(token)
        if ended:
            running.generated += 1  # only the end token may follow: it counts, but need not be computed
        if text.looping:
            log.warning("a generation repeats itself and is ended")
        if text.stopped or ended or text.looping:
            return "stop"
        return "length" if running.generated >= running.budget or self._full(running) else None

    def _full(self, running: Running) -> bool:
        """Whether the context has no place for the token just chosen, and may not make one."""
        if len(running.slot.tokens) + 1 < self._words.num_ctx:
            return False
        return not (running.request.shift and self._context.can_shift)

    def _say(self, running: Running, text: str) -> None:
        if not text and not running.text.logprobs:
            return
        if running.output is not None:
            running.output.append(text)
        delta = frames.Delta(running.id, text, running.text.logprobs)
        self._outbox.delta(delta, urgent=running.generated == 1)

    def echo(self, running: Running, row: int, rows: int) -> None:
        """Note what `rows` rows from `row` on, the last of them the newest of the prompt, predicted."""
        assert running.echo is not None, "nobody asked"
        end = len(running.slot.tokens)
        following = running.fit.tokens[end - rows + 1 : end + 1]
        logits = (self._context.logits(row + index) for index in range(len(following)))
        top = running.request.logprobs or 0
        running.echo += logprobs_of_rows(logits, following, top, self._words.written_piece)
        if not running.waiting:
            self._outbox.delta(frames.Delta(running.id, "", prompt=running.echo), urgent=True)
            running.echo = None

    def finish(self, running: Running, reason: FinishReason, now: int) -> None:
        """Say the rest and the closing report."""
        if not running.text.stopped:
            self._say(running, running.text.finish())
        context = None
        if running.output is not None:
            context = self._words.tokenize(running.request.prompt + "".join(running.output))
        self._outbox.done(running.done(reason, now, context))
