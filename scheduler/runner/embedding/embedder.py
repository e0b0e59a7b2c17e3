"""The engine's side of embeddings: which inputs are computed together, and on what.

A model made for it packs many texts, of several requests, into one decode; each text is a sequence of its own, whole
within the physical batch. A chat model turns one text at a time into the mean of its last hidden states.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Final, Protocol, TypeAlias

import numpy as np

from scheduler import frames
from scheduler.runner.cache.memory import State
from scheduler.runner.cache.slots import Slot, Slots
from scheduler.runner.embedding.embed import EmbedJob, Vector
from scheduler.runner.embedding.lanes import Lane, Lanes
from scheduler.runner.engine import Context
from scheduler.runner.engine.contextparams import POOLING_NONE

COMPUTE_ERROR: Final = "Compute error."
NO_MEMORY: Final = "failed to allocate memory for an input of this length"
_PACKS_A_LANE: Final = 2
"""Decodes between two looks at the inbox."""
_PATIENCE: Final = 64
"""Passes for which a text waits for a generation to end before it interrupts one."""

Pack: TypeAlias = list[tuple[EmbedJob, int]]
"""Inputs that share a decode, each by its place in its job."""


class Embedder(Protocol):
    """Computes vectors a piece at a time, so that the loop can look at its inbox in between."""

    def submit(self, job: EmbedJob, /) -> None: ...
    def cancel(self, id: int, /) -> None: ...
    @property
    def busy(self) -> bool: ...
    def step(self) -> None: ...


class _Queue:
    """Jobs in order of arrival."""

    def __init__(self, answer: Callable[[frames.Frame], None]) -> None:
        self._answer = answer
        self._jobs: deque[EmbedJob] = deque()

    @property
    def busy(self) -> bool:
        """Whether an input waits for its vector."""
        return bool(self._jobs)

    def submit(self, job: EmbedJob) -> None:
        """Queue a request."""
        self._jobs.append(job)
        self._settle(job)

    def cancel(self, id: int) -> None:
        """Drop a request."""
        self._jobs = deque(job for job in self._jobs if job.id != id)

    def _settle(self, job: EmbedJob) -> None:
        """Answer a request whose vectors are all there."""
        if job.complete and job in self._jobs:
            self._jobs.remove(job)
            self._answer(job.answer())

    def _fail(self, job: EmbedJob, message: str = COMPUTE_ERROR) -> None:
        if job in self._jobs:
            self._jobs.remove(job)
            self._answer(frames.Failed(job.id, message))


class PackedEmbedder(_Queue):
    """For models with pooling: as many texts a decode as may share one, a decode at a time on each lane."""

    def __init__(self, lanes: Lanes, sequences: int, answer: Callable[[frames.Frame], None]) -> None:
        super().__init__(answer)
        self._lanes = lanes
        self._sequences = sequences

    def step(self) -> None:
        """A few decodes on each lane."""
        packs = self._packs()
        failed: list[Pack] = []

        def compute(lane: Lane, pack: Pack) -> None:
            job, index = pack[0]
            if not _compute(lane.context_for(len(job.inputs[index])), pack):
                failed.append(pack)

        self._lanes.run(packs, compute)
        for job, _ in chain.from_iterable(failed):
            self._fail(job)
        for job in dict.fromkeys(job for job, _ in chain.from_iterable(packs)):
            self._settle(job)

    def _packs(self) -> list[Pack]:
        lanes = self._lanes
        if self._jobs[0].longest > lanes.rows:  # only the first lane takes that, with all cores
            return [self._pack(lanes.longest, 0)]
        waiting = sum(job.waiting for job in self._jobs)
        shared = min(lanes.sharing.rows, -(-waiting // lanes.width))  # a few texts are spread over all lanes
        packs: list[Pack] = []
        while len(packs) < lanes.width * _PACKS_A_LANE and (pack := self._pack(lanes.rows, shared)):
            packs.append(pack)
        return packs

    def _pack(self, room: int, shared: int) -> Pack:
        """The longest text, of at most `room` tokens, of the job whose turn it is, and what else may share the decode:
        first of that job, then of the others."""
        pack: Pack = []
        longest = self._lanes.sharing.longest
        for job in self._jobs:
            while len(pack) < self._sequences and (index := job.take(min(room, longest) if pack else room)) is not None:
                size = len(job.inputs[index])
                if not pack:
                    room = shared if size <= longest else 0
                room -= size
                pack.append((job, index))
        self._jobs.rotate(-1)
        return pack


def _compute(context: Context, pack: Pack) -> bool:
    """Decode a pack and hand out its vectors; False when the engine fails."""
    inputs = [job.inputs[index] for job, index in pack]
    sizes = np.array([len(tokens) for tokens in inputs], np.int32)
    ends = np.cumsum(sizes, dtype=np.int32)
    rows = int(ends[-1])
    context.tokens[:rows] = [*chain.from_iterable(inputs)]
    context.positions[:rows] = np.arange(rows, dtype=np.int32) - np.repeat(ends - sizes, sizes)
    context.sequences[:rows] = np.repeat(np.arange(len(pack), dtype=np.int32), sizes)
    context.outputs[:rows] = 1
    try:
        if context.decode(rows) != 0:
            return False
        for sequence, (job, index) in enumerate(pack):
            if context.pooling == POOLING_NONE:
                vector = context.embedding_of_row(int(ends[sequence]) - 1)
            else:
                vector = context.embedding_of_sequence(sequence)
            job.put(index, vector.copy())
    finally:
        context.clear()
    return True


@dataclass(slots=True, eq=False)
class _Text:
    """An input of a chat model under way."""

    job: EmbedJob
    index: int
    slot: Slot
    interrupted: State | None
    """What the generation in this slot had stored, where it was not idle."""
    done: int = 0
    total: Vector | None = None

    @property
    def tokens(self) -> list[int]:
        return self.job.inputs[self.index]


class ChatModelEmbedder(_Queue):
    """For models that generate: the mean of the last hidden states, in an idle slot.

    Where no slot gets idle for a while, one generation's state is put aside for as long as one text takes.
    """

    def __init__(
        self,
        context: Context,
        slots: Slots,
        answer: Callable[[frames.Frame], None],
        *,
        has_room: Callable[[int], bool],
    ) -> None:
        """`has_room` sees to it that a sequence can have so many tokens; False when it cannot."""
        super().__init__(answer)
        self._context = context
        self._slots = slots
        self._has_room = has_room
        self._text: _Text | None = None
        self._waited = 0

    def cancel(self, id: int) -> None:
        """Drop a request."""
        super().cancel(id)
        if self._text is not None and self._text.job.id == id:
            self._give_back(self._text)

    def step(self) -> None:
        """One decode; nothing while every slot is busy."""
        text = self._text or self._begin()
        if text is None:
            return
        computed = self._advance(text)
        while computed and text.interrupted is not None and text.done < len(text.tokens):
            computed = self._advance(text)  # the generation must find its state when it goes on
        if computed and text.done < len(text.tokens):
            return
        self._give_back(text)
        if not computed or text.total is None:
            self._fail(text.job)
            return
        text.job.put(text.index, text.total / np.float32(text.done))
        self._settle(text.job)

    # -- a place for a text

    def _begin(self) -> _Text | None:
        job = self._jobs[0]
        if not self._has_room(job.longest):
            self._fail(job, NO_MEMORY)
            return None
        slot = self._slots.borrow()
        state = None
        if slot is None:
            self._waited += 1
            slot, state = self._interrupt() if self._waited > _PATIENCE else (None, None)
        if slot is None:
            return None
        self._waited = 0
        index = job.take(job.longest)
        assert index is not None, "a job in the queue lacks a vector"
        self._text = _Text(job, index, slot, state)
        return self._text

    def _interrupt(self) -> tuple[Slot, State] | tuple[None, None]:
        """Put the state of the shortest generation aside."""
        slot = min(self._slots.all, key=lambda slot: len(slot.tokens))
        state = self._context.save(slot.id)
        if state is None:
            return None, None
        self._context.remove(slot.id, 0)
        return slot, state

    def _give_back(self, text: _Text) -> None:
        self._text = None
        self._context.remove(text.slot.id, 0)
        if text.interrupted is None:
            self._slots.release(text.slot)
        elif not self._context.restore(text.slot.id, text.interrupted):
            raise RuntimeError("the state of an interrupted generation could not be put back")

    # -- computing

    def _advance(self, text: _Text) -> bool:
        """The next part of a text; False when the engine fails."""
        context = self._context
        start = text.done
        part = text.tokens[start : start + context.batch_size]
        count = len(part)
        context.tokens[:count] = part
        context.positions[:count] = np.arange(start, start + count, dtype=np.int32)
        context.sequences[:count] = text.slot.id
        context.outputs[:count] = 1
        with context.embedding_mode():
            if context.decode(count) != 0:
                return False
            sums = context.embeddings(count).sum(axis=0, dtype=np.float32)
        text.total = sums if text.total is None else text.total + sums
        text.done += count
        return True
