"""Frames on their way to the daemon.

Text is coalesced: a quick model makes hundreds of tokens a second, and a frame costs the daemon more than the text in
it. At most one frame leaves in `interval`; the first and the last text of a request leave at once.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from scheduler import frames

DEFAULT_INTERVAL: Final = 4_000_000
"""Nanoseconds."""


class Pipe:
    """The writing end towards the daemon. Frames of several threads never mix."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, frame: frames.Frame) -> None:
        """Send one frame whole. Raises `BrokenPipeError` when the daemon is gone."""
        data = memoryview(frames.encode(frame))
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


class Outbox:
    """Collects what the engine's thread has to say."""

    def __init__(
        self,
        write: Callable[[frames.Frame], None],
        *,
        interval: int = DEFAULT_INTERVAL,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._write = write
        self._interval = interval
        self._clock = clock
        self._deltas: list[frames.Delta] = []
        self._done: list[frames.Done] = []
        self._urgent = False
        self._sent = 0

    def delta(self, delta: frames.Delta, *, urgent: bool) -> None:
        """Text of a request; `urgent` is its first."""
        self._deltas.append(delta)
        self._urgent = self._urgent or urgent

    def done(self, done: frames.Done) -> None:
        """The end of a request."""
        self._done.append(done)
        self._urgent = True

    def send(self, frame: frames.Frame) -> None:
        """Any other frame, after the text collected so far."""
        self.flush()
        self._write(frame)

    def pass_ended(self, *, idle: bool) -> None:
        """Called after each pass of the loop: send what is due."""
        if self._deltas or self._done:
            now = self._clock()
            if idle or self._urgent or now - self._sent >= self._interval:
                self._sent = now
                self.flush()

    def flush(self) -> None:
        """Send what is collected."""
        if self._deltas or self._done:
            step = frames.Step(self._deltas, self._done)
            self._deltas, self._done, self._urgent = [], [], False
            self._write(step)
