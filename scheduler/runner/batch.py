"""The loop that all generations share: one decode a pass, carrying the tokens of every running sequence and as much of
the waiting prompts as fits.

    admit → make room → propose → evaluate a picture → decode → choose → report

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
from scheduler.runner.answers import Answers, Broken, Words
from scheduler.runner.beside import Beside
from scheduler.runner.cache.growth import GrowingContext, Growth
from scheduler.runner.cache.memory import MemoryKind, SequenceMemory
from scheduler.runner.cache.prefix import common_prefix
from scheduler.runner.cache.slots import Claim, Slots
from scheduler.runner.limits import shift_range, token_budget
from scheduler.runner.outbox import Outbox
from scheduler.runner.rows import Batch, Share, divide, write
from scheduler.runner.sequence import FinishReason, Job, Proposal, Running, Speculator
from scheduler.runner.text.assembler import TextAssembler

log = logging.getLogger(__name__)

_NO_ROOM: Final = 1
_INVALID_BATCH: Final = -1
_FOLLOW: Final = 64
"""Tokens that two prompts must share for the second to wait for the first."""
_TAIL: Final = 8
"""Tokens before the end of a prompt at which a checkpoint is made: what a template puts after the last message, to
begin the answer, is often not there any more in the next turn."""
_NO_MEMORY: Final = "failed to allocate memory for a longer context"


class EngineContext(SequenceMemory, Batch, GrowingContext, Protocol):
    """What the loop needs of `engine.Context`."""

    @property
    def can_shift(self) -> bool:
        """Whether a full sequence may forget its older half and go on."""
        ...

    @property
    def moves_in_place(self) -> bool:
        """Whether it can do so without being evaluated again."""
        ...

    def decode(self, count: int, /) -> int: ...
    def logits(self, row: int, /) -> NDArray[np.float32]: ...
    def logit(self, row: int, token: int, /) -> float: ...
    def shift(self, sequence: int, start: int, end: int, delta: int, /) -> None: ...


class Engine(Words, Protocol):
    """A loaded model as the loop sees it."""

    @property
    def context(self) -> EngineContext: ...
    @property
    def pass_rows(self) -> int:
        """Most rows of one decode."""
        ...

    @property
    def enough_rows(self) -> int:
        """How many of them the device computes as quickly, each, as any greater number."""
        ...

    @property
    def spare_core(self) -> bool:
        """Whether a decode leaves a core free: two threads on one make it wait for both."""
        ...


class EngineFailure(RuntimeError):
    """The engine can no longer be trusted: the process must end."""


class Batcher:
    """Owns the running sequences. Everything here happens on one thread."""

    def __init__(
        self,
        engine: Engine,
        slots: Slots,
        outbox: Outbox,
        *,
        speculator: Speculator | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._engine = engine
        self._context = engine.context
        self._slots = slots
        self._outbox = outbox
        self._clock = clock
        self._answers = Answers(engine, engine.context, outbox)
        self._growth = Growth(engine.context, num_ctx=engine.num_ctx, sequences=len(slots.all))
        self._beside = Beside()
        # A tail that was proposed in vain must be cut off again, which costs other memory than whole one too much.
        self._speculator = speculator if engine.context.kind is MemoryKind.WHOLE else None
        self._waiting: deque[Job] = deque()
        self._running: list[Running] = []  # in ascending order of slots
        self._failures = 0

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._running or self._waiting)

    @property
    def running(self) -> Sequence[Running]:
        """The generations that have a slot."""
        return self._running

    def has_room(self, tokens: int) -> bool:
        """See to it that any sequence can have so many tokens; False when there is no memory for it."""
        return self._growth.ensure(tokens)

    # -- commands

    def submit(self, job: Job) -> None:
        """Queue a generation."""
        self._waiting.append(job)

    def cancel(self, id: int) -> None:
        """Drop a generation wherever it is; an unknown id has ended already."""
        for job in [job for job in self._waiting if job.request.id == id]:
            self._waiting.remove(job)
            job.chain.close()
        for running in self._running:
            if running.id == id:
                self._retire(running)
                return

    # -- one pass

    def step(self) -> None:
        """Admit, decode once, choose a token for every sequence that is due, report."""
        if self._waiting:
            self._admit()
        if not self._running:
            return
        self._make_room()
        if self._speculator is not None:
            self._propose(self._speculator)
        self._evaluate_media()
        due = self._decode()
        if due:
            now = self._clock()
            for running, row in due:
                self._choose(running, row, now)
        self._outbox.pass_ended(idle=not self.busy)

    # -- admission

    def _admit(self) -> None:
        """Give slots to those who wait, in order; one may be passed over while its beginning is being computed."""
        for job in list(self._waiting):
            if not self._slots.idle():
                return
            if self._follows(job):
                continue
            claim = self._slots.claim(job.fit.tokens)
            if claim is None:
                return
            self._waiting.remove(job)
            self._running.append(self._start(job, claim))
            self._running.sort(key=lambda running: running.slot.id)

    def _follows(self, job: Job) -> bool:
        """Whether somebody is just computing what this prompt begins with: copying that will be quicker."""
        if job.leader is not None:
            return job.leader in self._running and job.leader.waiting > 0
        if self._context.kind is MemoryKind.STATE or job.request.prompt_logprobs:
            return False
        for running in self._running:
            ahead = running.waiting
            if ahead and common_prefix(running.fit.tokens, job.fit.tokens) >= len(running.slot.tokens) + _FOLLOW:
                job.leader = running
                return True
        return False

    def _start(self, job: Job, claim: Claim) -> Running:
        request, fit, slot = job.request, job.fit, claim.slot
        count = len(fit.tokens)
        if fit.cut:
            log.warning("truncating input prompt: %d tokens of %d are left, keep %d", count, count + fit.cut, fit.keep)
        if request.prompt_logprobs:
            self._slots.clear(slot)
        self._growth.foresee(count)
        return Running(
            request=request,
            fit=fit,
            slot=slot,
            prompt_tokens=count,
            cached=len(slot.tokens),
            chain=job.chain,
            matcher=job.matcher,
            text=TextAssembler(job.stops or ()),
            preserved=job.preserved,
            budget=token_budget(request.num_predict, self._engine.num_ctx),
            began=self._clock(),
            media=job.media,
            marks=self._marks(count, claim),
            output=[] if request.want_context else None,
            echo=[] if request.prompt_logprobs and request.logprobs is not None else None,
            history=list(fit.tokens) if self._speculator is not None and not job.media else None,
        )

    def _marks(self, count: int, claim: Claim) -> list[int]:
        """Where to make checkpoints: where prompts have parted before, and shortly before the end."""
        if self._context.kind is MemoryKind.WHOLE:
            return []
        wanted = {claim.branch, count - _TAIL}
        return sorted((at for at in wanted if claim.cached + _FOLLOW <= at < count), reverse=True)

    # -- room

    def _make_room(self) -> None:
        """Slide the context of sequences that are full; grow what they are stored in."""
        for running in list(self._running):
            slot = running.slot
            stored = len(slot.tokens)
            if running.token >= 0 and stored + 1 >= self._engine.num_ctx:
                self._shift(running)
            needed = stored + 1 if running.token >= 0 else len(running.fit.tokens)
            if needed > self._context.capacity and not self._growth.ensure(needed):
                self._fail(running, _NO_MEMORY)
            elif running.token >= 0:
                self._growth.foresee(needed)

    def _shift(self, running: Running) -> None:
        slot = running.slot
        stored = len(slot.tokens)
        start, end = shift_range(stored, self._engine.num_ctx, running.fit.keep)
        if self._context.moves_in_place and self._context.remove(slot.id, start, end):
            self._context.shift(slot.id, end, stored, start - end)
            self._slots.shifted(slot, start, end)
        else:  # evaluate again what shall stay
            running.restart([*slot.tokens[:start], *slot.tokens[end:], running.token])
            self._slots.clear(slot)
        log.info("context limit hit - shifting: %d of %d tokens forgotten", end - start, stored)

    # -- proposals

    def _propose(self, speculator: Speculator) -> None:
        """Ask for continuations of the sequences that generate, as far as context and budget allow."""
        wanted: list[Running] = []
        proposals: list[Proposal] = []
        for running in self._running:
            running.draft = []
            if running.token < 0 or running.history is None:
                continue
            room = min(self._engine.num_ctx, self._context.capacity) - len(running.slot.tokens) - 2
            most = min(room, running.budget - running.generated - 1)
            if most > 0:
                wanted.append(running)
                proposals.append(Proposal(running.id, running.slot.id, running.history, most))
        if not wanted:
            return
        for running, draft in zip(wanted, speculator.propose(proposals), strict=True):
            running.draft = draft

    def _settle(self, running: Running, accepted: int) -> None:
        """Cut off what was proposed in vain."""
        slot, proposed = running.slot, len(running.draft)
        running.drafted += proposed
        if accepted < proposed:
            self._context.remove(slot.id, slot.end)
        running.draft = []
        assert self._speculator is not None, "nobody else proposes"
        self._speculator.settle(running.id, proposed, accepted)

    # -- decode

    def _evaluate_media(self) -> None:
        """Encode one picture or clip, or put it into its sequence: others wait for half of one at a time only."""
        for running in self._running:
            media = running.next_media()
            if media is None:
                continue
            if not media.encoded and media.encode():
                return
            slot = running.slot
            last = len(slot.tokens) + media.tokens == len(running.fit.tokens)
            if media.evaluate(self._context, slot.id, slot.end, logits=last) != 0:
                self._fail(running, "failed to evaluate the image or audio input")
                return
            running.stored_media(media)
            if last:
                self._slots.publish(slot)
                self._choose(running, -1, self._clock())
            return

    def _decode(self) -> list[Share]:
        """Run one batch; the sequences that now have logits, with their rows."""
        budget = self._engine.pass_rows
        while shares := divide(self._running, budget, self._engine.enough_rows):
            due = write(self._context, shares)
            count = sum(take for _, take in shares)
            bound = [running.matcher for running, _ in due if running.matcher is not None and running.matcher.active]
            if bound and self._engine.spare_core:
                self._beside.begin(bound)
            began = self._clock()
            result = self._context.decode(count)
            self._beside.wait()
            if result == 0:
                self._failures = 0
                self._stored(shares, self._clock() - began)
                return due
            budget = self._after_failure(result, budget, count)
        return []

    def _stored(self, shares: list[Share], elapsed: int) -> None:
        """The engine has stored these rows."""
        row = prompt_rows = 0
        for running, take in shares:
            running.stored(take)
            if running.token < 0:
                prompt_rows += take
                self._advance_prompt(running, row, take)
            row += take
        if prompt_rows == row:
            self._slots.rates.evaluated(prompt_rows, elapsed)

    def _advance_prompt(self, running: Running, row: int, take: int) -> None:
        slot = running.slot
        if running.marks and running.marks[-1] <= len(slot.tokens):
            running.marks.pop()
            self._slots.checkpoint(slot)
        if running.echo is not None:
            self._answers.echo(running, row, take)
        if not running.waiting:
            self._slots.publish(slot)

    def _after_failure(self, result: int, budget: int, count: int) -> int:
        """What to try next: the budget for another attempt. Fails sequences where nothing else is left."""
        if result == _NO_ROOM:
            idle = [slot for slot in self._slots.idle() if slot.tokens]
            for slot in idle:
                self._slots.clear(slot)
            if idle:
                return budget
            if count > 1:
                return count // 2
            longest = max(self._running, key=lambda running: len(running.slot.tokens))
            self._fail(longest, "Context size has been exceeded.")
            return self._engine.pass_rows
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
        """Choose the next token of a sequence, and as many more as were proposed rightly."""
        stored = len(running.slot.tokens)
        try:
            reason = self._answers.choose(running, row, now)
        except Broken as error:
            self._fail(running, str(error))
            return
        if running.draft:
            self._settle(running, len(running.slot.tokens) - stored)
        if reason is not None:
            self._finish(running, reason)

    def _finish(self, running: Running, reason: FinishReason) -> None:
        self._answers.finish(running, reason, self._clock())
        self._retire(running)

    def _fail(self, running: Running, message: str) -> None:
        self._slots.clear(running.slot)
        self._outbox.send(frames.Failed(running.id, message))
        self._retire(running)

    def _fail_all(self, message: str) -> None:
        for running in list(self._running):
            self._fail(running, message)

    def _retire(self, running: Running) -> None:
        self._running.remove(running)
        self._slots.release(running.slot)
        running.chain.close()
        if self._speculator is not None:
            self._speculator.forget(running.id)
