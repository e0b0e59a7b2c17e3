"""Time as the scheduler sees it, so that tests can turn it by hand."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will happen unless it is called off."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Durations are measured on a clock that never jumps; the wall clock only labels moments for people."""

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        ...

    def wall(self) -> float:
        """Unix time."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer: ...


class LoopClock:
    """The clock of the running event loop."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)


class Alarm:
    """One timer at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: Timer | None = None

    @property
    def is_set(self) -> bool:
        return self._timer is not None

    def set(self, delay: float, callback: Callable[[], None]) -> None:
        """Have `callback` called `delay` seconds from now, and not at the time that was set before."""
        self.off()
        self._timer = self._clock.call_later(delay, lambda: self._ring(callback))

    def _ring(self, callback: Callable[[], None]) -> None:
        self._timer = None
        callback()

    def off(self) -> None:
        """Nothing is called."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def sleep(clock: Clock, delay: float) -> None:
    """Return `delay` seconds later by `clock`."""
    woken = asyncio.Event()
    timer = clock.call_later(delay, woken.set)
    try:
        await woken.wait()
    finally:
        timer.cancel()
