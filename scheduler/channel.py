"""One generation on its way from the pipe to whoever reads it."""

import asyncio
from collections.abc import Callable

from scheduler.errors import RunnerDied, RunnerFailed
from scheduler.frames import Delta, Done
from scheduler.ports import Chunk


class Channel:
    """Collects what arrives and hands over everything there is at each look.

    Filling never waits and wakes the reader at most once for all that one frame brings.
    """

    __slots__ = ("_abandon", "_deltas", "_done", "_error", "_reader", "_streamed")

    def __init__(self, abandon: Callable[[], None]) -> None:
        self._abandon = abandon
        """Called when the reader leaves before the end."""
        self._deltas: list[Delta] = []
        self._done: Done | None = None
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._streamed = False

    # -- the pipe's side

    def push(self, delta: Delta) -> None:
        self._deltas.append(delta)
        self._wake()

    def finish(self, done: Done) -> None:
        self._done = done
        self._wake()

    def fail(self, error: Exception) -> None:
        """End with an exception, after what has arrived so far; the first end counts."""
        if self._done is None and self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # -- the reader's side

    async def next(self) -> Chunk:
        while not self._deltas and self._done is None:
            if self._error is not None:
                raise self._ending(self._error)
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        chunk = Chunk(self._deltas, self._done)
        self._deltas = []
        self._streamed = True
        return chunk

    def _ending(self, error: Exception) -> Exception:
        if self._streamed and isinstance(error, RunnerDied):
            return RunnerDied(error.detail, streamed=True)
        return error

    def close(self) -> None:
        if self._done is None and self._error is None:
            self.fail(RunnerFailed("request canceled", 499))
            self._abandon()
