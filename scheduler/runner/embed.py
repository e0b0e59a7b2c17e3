"""Texts to vectors.

A model made for it packs many texts, of several requests, into one decode: each text is a sequence of its own, whole
within the physical batch. A chat model turns one text at a time into the mean of its last hidden states.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.engine import Context, Vocabulary
from scheduler.runner.engine.context import POOLING_NONE
from scheduler.runner.prefix import Slots

TOO_LONG: Final = "the input length exceeds the context length"
PACKED_TOKENS: Final = 256
"""Attention costs the square of what is packed together: beyond this, more decodes are quicker than bigger ones."""

Vector = NDArray[np.float32]


class EmbedError(ValueError):
    """One input cannot be embedded. The client's fault."""


@dataclass(slots=True, eq=False)
class EmbedJob:
    """One request, its inputs tokenised."""

    request: frames.Embed
    inputs: list[list[int]]
    vectors: list[Vector | None] = field(default_factory=list[Vector | None])

    def __post_init__(self) -> None:
        self.vectors = [None] * len(self.inputs)

    @property
    def complete(self) -> bool:
        """Whether every input has its vector."""
        return all(vector is not None for vector in self.vectors)


def prepare(request: frames.Embed, vocabulary: Vocabulary, *, limit: int, batch: int) -> EmbedJob:
    """Tokenise and cut the inputs. Raises `EmbedError` for one that is too long or empty.

    `limit` is the context in tokens, special tokens included; `batch` what one decode can hold.
    """
    return EmbedJob(request, [_prepare_one(text, request, vocabulary, limit, batch) for text in request.inputs])


def _prepare_one(text: str, request: frames.Embed, vocabulary: Vocabulary, limit: int, batch: int) -> list[int]:
    plain = vocabulary.tokenize(text)
    room = _room(plain, vocabulary, limit)
    if plain and room <= 0:
        raise EmbedError("input after truncation exceeds maximum context length")
    if len(plain) > room and not request.truncate:
        raise EmbedError(TOO_LONG)
    tokens = _with_specials(plain, text, room, vocabulary)
    if len(tokens) > batch:
        if not request.truncate:
            raise EmbedError(TOO_LONG)
        room = _room(plain, vocabulary, batch)
        if room <= 0:
            raise EmbedError("input exceeds maximum context length and cannot be truncated further")
        tokens = _with_specials(plain, text, room, vocabulary)
    if not tokens:
        raise EmbedError("the input has no tokens")
    return tokens


def _with_specials(plain: list[int], text: str, room: int, vocabulary: Vocabulary) -> list[int]:
    if len(plain) > room:
        text = vocabulary.detokenize(plain[:room])
    return vocabulary.tokenize(text, add_special=True)[: room + 2]


def _room(plain: Sequence[int], vocabulary: Vocabulary, limit: int) -> int:
    """Places for tokens of the text itself: one less for each special token that is not already there."""
    if not plain:
        return limit
    return limit - (plain[0] != vocabulary.bos_id) - (plain[-1] != vocabulary.eos_id)


def finish(vector: Vector, request: frames.Embed, *, raw: bool) -> Vector:
    """Normalise, cut to the dimensions asked for. Raises `EmbedError` for a vector that is not finite."""
    if not np.isfinite(vector).all():
        raise EmbedError("embedding contains NaN or Inf values")
    if request.normalize or not raw:
        vector = _unit(vector)
    if 0 < request.dimensions < len(vector):
        vector = _unit(vector[: request.dimensions])
    return vector


def _unit(vector: Vector) -> Vector:
    length = max(float(np.sqrt(np.square(vector, dtype=np.float32).sum(dtype=np.float64))), 1e-12)
    return (vector / np.float32(length)).astype(np.float32)


def encode_vector(vector: Vector, encoding: str) -> bytes:
    """The vector as the request wants it; JSON numbers are the shortest that give the same value back."""
    if encoding == "float32":
        return vector.astype("<f4").tobytes()
    import orjson

    array: Any = np.ascontiguousarray(vector, dtype=np.float32 if encoding == "json32" else np.float64)
    return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)


class Embedder(Protocol):
    """Computes vectors a piece at a time, so that the loop can look at its inbox in between."""

    def submit(self, job: EmbedJob) -> None: ...
    def cancel(self, id: int) -> None: ...
    @property
    def busy(self) -> bool: ...
    def step(self) -> None: ...


class _Queue:
    """Jobs in order of arrival; answers each when its last vector is there."""

    def __init__(self, answer: Callable[[frames.Frame], None], *, raw: bool) -> None:
        self._answer = answer
        self._raw = raw
        self._jobs: deque[EmbedJob] = deque()

    @property
    def busy(self) -> bool:
        """Whether an input waits for its vector."""
        return bool(self._jobs)

    def submit(self, job: EmbedJob) -> None:
        """Queue a request."""
        if job.inputs:
            self._jobs.append(job)
        else:
            self._answer(frames.Embedded(job.request.id, [], 0))

    def cancel(self, id: int) -> None:
        """Drop a request."""
        self._jobs = deque(job for job in self._jobs if job.request.id != id)

    def _missing(self) -> Iterator[tuple[EmbedJob, int]]:
        return ((job, index) for job in self._jobs for index, vector in enumerate(job.vectors) if vector is None)

    def _settle(self, job: EmbedJob) -> None:
        """Answer a request whose vectors are all there."""
        if not job.complete:
            return
        self._jobs.remove(job)
        request = job.request
        try:
            vectors = [finish(vector, request, raw=self._raw) for vector in job.vectors if vector is not None]
        except EmbedError as error:
            self._answer(frames.Failed(request.id, str(error), 400))
            return
        encoded = [encode_vector(vector, request.encoding) for vector in vectors]
        self._answer(frames.Embedded(request.id, encoded, sum(map(len, job.inputs))))

    def _fail(self, jobs: Sequence[EmbedJob], message: str) -> None:
        for job in jobs:
            if job in self._jobs:
                self._jobs.remove(job)
                self._answer(frames.Failed(job.request.id, message))


class PackedEmbedder(_Queue):
    """For models with pooling: as many texts a decode as fit."""

    def __init__(self, context: Context, sequences: int, answer: Callable[[frames.Frame], None], *, raw: bool) -> None:
        super().__init__(answer, raw=raw)
        self._context = context
        self._sequences = sequences

    def step(self) -> None:
        """One decode."""
        batch = self._pack()
        rows = self._fill([job.inputs[index] for job, index in batch])
        result = self._context.decode(sum(rows))
        jobs = list(dict.fromkeys(job for job, _ in batch))
        if result != 0:
            self._context.clear()
            self._fail(jobs, "Compute error.")
            return
        end = 0
        for sequence, (job, index) in enumerate(batch):
            end += rows[sequence]
            job.vectors[index] = self._vector(sequence, end - 1)
        self._context.clear()
        for job in jobs:
            self._settle(job)

    def _pack(self) -> list[tuple[EmbedJob, int]]:
        """The oldest inputs that share a decode: at least one, then up to the budget."""
        batch: list[tuple[EmbedJob, int]] = []
        used = 0
        budget = min(PACKED_TOKENS, self._context.physical_batch)
        for job, index in self._missing():
            size = len(job.inputs[index])
            if batch and (used + size > budget or len(batch) == self._sequences):
                break
            batch.append((job, index))
            used += size
        return batch

    def _fill(self, inputs: Sequence[Sequence[int]]) -> list[int]:
        context = self._context
        row = 0
        for sequence, tokens in enumerate(inputs):
            end = row + len(tokens)
            context.tokens[row:end] = tokens
            context.positions[row:end] = range(len(tokens))
            context.sequences[row:end] = sequence
            row = end
        context.outputs[:row] = 1
        return [len(tokens) for tokens in inputs]

    def _vector(self, sequence: int, last_row: int) -> Vector:
        if self._context.pooling == POOLING_NONE:
            return self._context.embedding_of_row(last_row).copy()
        return self._context.embedding_of_sequence(sequence).copy()


class ChatModelEmbedder(_Queue):
    """For models that generate: the mean of the last hidden states, in an idle slot."""

    def __init__(self, context: Context, slots: Slots, answer: Callable[[frames.Frame], None]) -> None:
        super().__init__(answer, raw=False)
        self._context = context
        self._slots = slots

    def step(self) -> None:
        """One text; nothing while every slot is busy."""
        idle = self._slots.idle()
        if not idle:
            return
        slot = min(idle, key=lambda slot: (slot.used if slot.tokens else 0, slot.id))
        slot.truncate(self._context, 0)
        job, index = next(self._missing())
        total = self._hidden_states(slot.id, job.inputs[index])
        self._context.remove(slot.id, 0)
        if total is None:
            self._fail([job], "Compute error.")
            return
        job.vectors[index] = (total / np.float32(len(job.inputs[index]))).astype(np.float32)
        self._settle(job)

    def _hidden_states(self, sequence: int, tokens: Sequence[int]) -> Vector | None:
        """Sum over all positions; None when the engine fails."""
        context = self._context
        total: Vector | None = None
        with context.embedding_mode():
            for start in range(0, len(tokens), context.batch_size):
                chunk = tokens[start : start + context.batch_size]
                count = len(chunk)
                context.tokens[:count] = chunk
                context.positions[:count] = range(start, start + count)
                context.sequences[:count] = sequence
                context.outputs[:count] = 1
                if context.decode(count) != 0:
                    return None
                for row in range(count):
                    total = (
                        context.embedding_of_row(row).copy() if total is None else total + context.embedding_of_row(row)
                    )
        return total
