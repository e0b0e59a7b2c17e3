"""The right to use a loaded model for one request, and the queue for its places.

A runner decodes `parallel` sequences side by side. Generations beyond that wait here, in the order in which they were
first iterated; embeddings and tokenizing do not take a place. A place is given back by exactly one synchronous call,
so no cancelled, abandoned or half-started request can keep one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Unpack

from scheduler import frames
from scheduler.errors import RunnerFailed
from scheduler.faults import tells_of_memory
from scheduler.ports import Chunk, GenerateFields, Runner, Stream


class Places:
    """First come, first served: `width` holders at a time."""

    def __init__(self, width: int) -> None:
        self._free = width
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed: Exception | None = None

    @property
    def free(self) -> int:
        return self._free

    async def take(self) -> None:
        """Wait for a place. Raises what the queue was closed with."""
        if self._closed is not None:
            raise self._closed
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()  # our turn came in the same instant as the cancellation
            raise

    def give_back(self) -> None:
        """Hand the place to the next who still waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def close(self, error: Exception) -> None:
        """Nobody gets a place any more; whoever waits gets `error`."""
        self._closed = error
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(error)
        self._waiting.clear()


class Generation(AsyncIterator[Chunk]):
    """One answer, in the pieces in which it arrives; the last has `done`.

    Iterating raises `RunnerFailed` or `RunnerDied`. `close()` drops it at any moment, also while another task waits in
    it; the end of the lease closes it too.
    """

    def __init__(self, lease: "Lease", fields: GenerateFields) -> None:
        self._lease = lease
        self._fields = fields
        self._stream: Stream | None = None
        self._over = False

    async def __anext__(self) -> Chunk:
        if self._over:
            raise StopAsyncIteration
        try:
            stream = self._stream or await self._begin()
            chunk = await stream.next()
        except BaseException as error:
            self.close()
            if isinstance(error, RunnerFailed) and tells_of_memory(error.message):
                self._lease.report_out_of_memory()
            raise
        if chunk.done is not None:
            self.close()
        return chunk

    async def _begin(self) -> Stream:
        await self._lease.places.take()
        if self._over:  # closed while waiting for the place
            self._lease.places.give_back()
            raise StopAsyncIteration
        try:
            self._stream = self._lease.runner.generate(self._fields)
        except BaseException:
            self._lease.places.give_back()
            raise
        return self._stream

    def close(self) -> None:
        """Give up what is left of the answer. Idempotent."""
        self._over = True
        self._lease.forget(self)
        stream, self._stream = self._stream, None
        if stream is not None:
            self._lease.places.give_back()
            stream.close()

    async def aclose(self) -> None:
        """`close`, for `contextlib.aclosing`."""
        self.close()


@dataclass(frozen=True, slots=True)
class Tenancy:
    """What a lease needs of the loaded model it is for."""

    runner: Runner
    info: frames.Loaded
    places: Places
    parallel: int
    shift: bool
    release: Callable[[], None]
    out_of_memory: Callable[[], None]


class Lease:
    """Keeps a model loaded until released. Use it as an async context manager, or call `release`."""

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy
        self._generations: set[Generation] = set()
        self._held = True
        self.info = tenancy.info
        self.parallel = tenancy.parallel
        self.shift = tenancy.shift
        """Whether a full context may slide; what the request said, or what suits the model's family."""
        self.runner = tenancy.runner
        self.places = tenancy.places

    def generate(self, **fields: Unpack[GenerateFields]) -> Generation:
        """Continue a prompt. It is sent when first iterated and a place is free.

        `shift` is the lease's unless given.
        """
        fields.setdefault("shift", self.shift)
        generation = Generation(self, fields)
        self._generations.add(generation)
        return generation

    async def embed(
        self,
        inputs: list[str],
        *,
        truncate: bool = True,
        dimensions: int = 0,
        normalize: bool = True,
        encoding: Literal["float32", "json32", "json64"] = "json32",
    ) -> frames.Embedded:
        """The vectors of `inputs`. Raises `RunnerFailed`, `RunnerDied`."""
        with self._minding_memory():
            return await self.runner.embed(
                {
                    "inputs": inputs,
                    "truncate": truncate,
                    "dimensions": dimensions,
                    "normalize": normalize,
                    "encoding": encoding,
                }
            )

    async def rank(self, query: str, documents: list[str], *, truncate: bool = True) -> frames.Ranked:
        """How well each document answers the query. Raises `RunnerFailed`, `RunnerDied`."""
        with self._minding_memory():
            return await self.runner.rank(query, documents, truncate=truncate)

    async def tokenize(self, texts: list[str], *, add_special: bool = False) -> list[list[int]]:
        """The tokens of each text. Raises `RunnerFailed`, `RunnerDied`."""
        return (await self.runner.tokenize(texts, add_special=add_special, count_only=False)).tokens

    async def count(self, texts: list[str], *, add_special: bool = False) -> list[int]:
        """How many tokens each text has. Raises `RunnerFailed`, `RunnerDied`."""
        return (await self.runner.tokenize(texts, add_special=add_special, count_only=True)).counts

    async def detokenize(self, tokens: list[int]) -> str:
        """The text of tokens. Raises `RunnerFailed`, `RunnerDied`."""
        return await self.runner.detokenize(tokens)

    def release(self) -> None:
        """End the lease and whatever generation is still open under it. Idempotent, and never waits."""
        if not self._held:
            return
        self._held = False
        for generation in list(self._generations):
            generation.close()
        self._tenancy.release()

    def forget(self, generation: Generation) -> None:
        """`generation` is over."""
        self._generations.discard(generation)

    def report_out_of_memory(self) -> None:
        """A request failed for want of memory: models that nobody uses should make room."""
        self._tenancy.out_of_memory()

    @contextmanager
    def _minding_memory(self) -> Generator[None]:
        try:
            yield
        except RunnerFailed as error:
            if tells_of_memory(error.message):
                self.report_out_of_memory()
            raise

    async def __aenter__(self) -> "Lease":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
