"""The loop that all generations share: one decode a pass, carrying a token of every running sequence and as much of
the waiting prompts as fits.

    take_commands → admit → fill → decode → choose → report

A pass costs Python some tens of microseconds beside the engine; nothing in it grows with the length of a text.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.limits import shift_range, token_budget
from scheduler.runner.logprobs import logprob_of
from scheduler.runner.outbox import Outbox
from scheduler.runner.prefix import Slot, Slots
from scheduler.runner.sequence import Chain, FinishReason, Job, Running
from scheduler.runner.text import TextAssembler

log = logging.getLogger(__name__)

_NO_ROOM: Final = 1
_INVALID_BATCH: Final = -1


class EngineContext(Protocol):
    """What the loop needs of `engine.Context`."""

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sequences: NDArray[np.int32]
    outputs: NDArray[np.int8]

    @property
    def batch_size(self) -> int: ...
    @property
    def can_shift(self) -> bool: ...
    def decode(self, count: int, /) -> int: ...
    def logits(self, row: int, /) -> NDArray[np.float32]: ...
    def remove(self, sequence: int, start: int, end: int = -1, /) -> bool: ...
    def shift(self, sequence: int, start: int, end: int, delta: int, /) -> None: ...


class Engine(Protocol):
    """A loaded model as the loop sees it."""

    @property
    def context(self) -> EngineContext: ...
    @property
    def num_ctx(self) -> int: ...
    @property
    def end_tokens(self) -> frozenset[int]: ...
    @property
    def piece(self) -> Callable[[int], bytes]: ...
    @property
    def written_piece(self) -> Callable[[int], bytes]: ...
    def control_tokens(self, texts: Sequence[str], /) -> frozenset[int]: ...
    def tokenize(self, text: str, /) -> list[int]: ...
    def chain(self, sampling: frames.Sampling, prompt: Sequence[int], /) -> Chain: ...


class EngineFailure(RuntimeError):
    """The engine can no longer be trusted: the process must end."""


class Batcher:
    """Owns the running sequences. Everything here happens on one thread."""

    def __init__(
        self, engine: Engine, slots: Slots, outbox: Outbox, *, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._engine = engine
        self._context = engine.context
        self._slots = slots
        self._outbox = outbox
        self._clock = clock
        self._waiting: deque[Job] = deque()
        self._running: list[Running] = []  # in ascending order of slots
        self._failures = 0

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._running or self._waiting)

    # -- commands

    def submit(self, job: Job) -> None:
        """Queue a generation."""
        self._waiting.append(job)

    def cancel(self, id: int) -> None:
        """Drop a generation wherever it is; an unknown id has ended already."""
        self._waiting = deque(job for job in self._waiting if job.request.id != id)
        for running in self._running:
            if running.id == id:
                self._retire(running)
                return

    # -- one pass

    def step(self) -> None:
        """Admit, decode once, choose a token for every sequence that is due, report."""
        self._admit()
        if not self._running:
            return
        self._make_room()
        due = self._decode()
        if due:
            now = self._clock()
            for running, row in due:
                self._choose(running, row, now)
        self._outbox.pass_ended(idle=not self.busy)

    def _admit(self) -> None:
        while self._waiting:
            claim = self._slots.claim(self._waiting[0].fit.tokens, self._context)
            if claim is None:
                return
            slot, cached = claim
            self._running.append(self._start(self._waiting.popleft(), slot, cached))
            self._running.sort(key=lambda running: running.slot.id)

    def _start(self, job: Job, slot: Slot, cached: int) -> Running:
        request = job.request
        return Running(
            request=request,
            fit=job.fit,
            slot=slot,
            prompt_tokens=len(job.fit.tokens),
            cached=cached,
            chain=self._engine.chain(request.sampling, job.fit.tokens),
            matcher=job.matcher,
            text=TextAssembler(request.stop),
            preserved=self._engine.control_tokens(request.preserved),
            budget=token_budget(request.num_predict, self._engine.num_ctx),
            began=self._clock(),
            output=[] if request.want_context else None,
        )

    def _make_room(self) -> None:
        """Slide the context of sequences that are full."""
        for running in self._running:
            slot = running.slot
            stored = len(slot.tokens)
            if running.token < 0 or stored + 1 < self._engine.num_ctx:
                continue
            start, end = shift_range(stored, self._engine.num_ctx, running.fit.keep)
            if self._context.remove(slot.id, start, end):
                self._context.shift(slot.id, end, stored, start - end)
                del slot.tokens[start:end]
            else:  # this memory keeps all or nothing: evaluate again what shall stay
                running.restart([*slot.tokens[:start], *slot.tokens[end:], running.token])
                slot.truncate(self._context, 0)
            log.info("context limit hit: %d of %d tokens forgotten", end - start, stored)

    # -- decode

    def _decode(self) -> list[tuple[Running, int]]:
        """Run one batch; the sequences that now have logits, with their rows."""
        budget = self._context.batch_size
        while self._running:
            plan = self._plan(budget)
            due = self._fill(plan)
            count = sum(take for _, take in plan)
            result = self._context.decode(count)
            if result == 0:
                self._failures = 0
                for running, take in plan:
                    running.stored(take)
                return due
            budget = self._after_failure(result, budget, count)
        return []

    def _plan(self, budget: int) -> list[tuple[Running, int]]:
        """Rows of each sequence: one for those that generate, the rest of the budget shared by the prompts."""
        prefilling = sum(running.token < 0 for running in self._running)
        if not prefilling:
            return [(running, 1) for running in self._running[:budget]]
        spare = max(budget - (len(self._running) - prefilling), 1)
        plan: list[tuple[Running, int]] = []
        for running in self._running:
            if running.token >= 0:
                take = 1
            else:
                take = min(running.waiting, -(-spare // prefilling))
                spare -= take
                prefilling -= 1
            if take and budget:
                plan.append((running, take := min(take, budget)))
                budget -= take
        return plan

    def _fill(self, plan: list[tuple[Running, int]]) -> list[tuple[Running, int]]:
        """Write the batch; the sequences whose last row gives logits, with that row."""
        context = self._context
        tokens, positions, sequences, outputs = context.tokens, context.positions, context.sequences, context.outputs
        due: list[tuple[Running, int]] = []
        row = 0
        for running, take in plan:
            slot = running.slot
            start = len(slot.tokens)
            if running.token >= 0:
                tokens[row] = running.token
                positions[row] = start
                sequences[row] = slot.id
                outputs[row] = 1
                due.append((running, row))
                row += 1
                continue
            end = row + take
            tokens[row:end] = running.fit.tokens[start : start + take]
            positions[row:end] = range(start, start + take)
            sequences[row:end] = slot.id
            outputs[row:end] = 0
            if take == running.waiting:
                outputs[end - 1] = 1
                due.append((running, end - 1))
            row = end
        return due

    def _after_failure(self, result: int, budget: int, count: int) -> int:
        """What to try next: the budget for another attempt. Fails sequences where nothing else is left."""
        if result == _NO_ROOM:
            if any(slot.tokens for slot in self._slots.idle()):
                for slot in self._slots.idle():
                    slot.truncate(self._context, 0)
                return budget
            if count > 1:
                return count // 2
            self._fail(
                max(self._running, key=lambda running: len(running.slot.tokens)), "Context size has been exceeded."
            )
            return self._context.batch_size
        if result == _INVALID_BATCH:
            self._fail_all("Invalid input batch.")
            return budget
        self._failures += 1
        self._fail_all("Compute error.")
        if self._failures > 1:
            raise EngineFailure(f"the engine failed to compute twice in a row (code {result})")
        return budget

    # -- tokens

    def _choose(self, running: Running, row: int, now: int) -> None:
        """Sample the next token of a sequence and deal with it."""
        request = running.request
        wants_logits = request.logprobs is not None or running.matcher is not None
        logits = self._context.logits(row) if wants_logits else None
        raw = logits
        if running.matcher is not None and logits is not None:
            raw = logits.copy() if request.logprobs is not None else None
            running.matcher.mask(logits)
        token = running.chain.sample(self._context, row)
        running.generated += 1
        if not running.prefilled:
            running.prefilled = now
        if token in self._engine.end_tokens:
            self._finish(running, "stop")
            return
        ended = running.matcher is not None and running.matcher.consume(token)
        entry = None
        if raw is not None and request.logprobs is not None:
            entry = logprob_of(raw, token, request.logprobs, self._engine.written_piece)
        piece = self._engine.written_piece(token) if token in running.preserved else self._engine.piece(token)
        self._say(running, running.text.push(piece, entry))
        running.token = token
        if ended:
            running.generated += 1  # only the end token may follow: it counts, but need not be computed
        if running.text.stopped or ended or running.text.looping:
            self._finish(running, "stop")
        elif running.generated >= running.budget or self._full(running):
            self._finish(running, "length")

    def _full(self, running: Running) -> bool:
        """Whether the context has no place for the token just chosen, and may not make one."""
        if len(running.slot.tokens) + 1 < self._engine.num_ctx:
            return False
        return not (running.request.shift and self._context.can_shift)

    def _say(self, running: Running, text: str) -> None:
        if not text and not running.text.logprobs:
            return
        if running.output is not None:
            running.output.append(text)
        delta = frames.Delta(running.id, text, running.text.logprobs)
        self._outbox.delta(delta, urgent=running.generated == 1)

    def _finish(self, running: Running, reason: FinishReason) -> None:
        if not running.text.stopped:
            self._say(running, running.text.finish())
        now = self._clock()
        context = None
        if running.output is not None:
            context = self._engine.tokenize(running.request.prompt + "".join(running.output))
        self._outbox.done(running.done(reason, now, context))
        self._retire(running)

    def _fail(self, running: Running, message: str) -> None:
        running.slot.truncate(self._context, 0)
        self._outbox.send(frames.Failed(running.id, message))
        self._retire(running)

    def _fail_all(self, message: str) -> None:
        for running in list(self._running):
            self._fail(running, message)

    def _retire(self, running: Running) -> None:
        self._running.remove(running)
        running.slot.busy = False
        running.chain.close()
