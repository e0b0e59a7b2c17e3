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


async def sleep(clock: Clock, delay: float) -> None:
    """Return `delay` seconds later by `clock`."""
    woken = asyncio.Event()
    timer = clock.call_later(delay, woken.set)
    try:
        await woken.wait()
    finally:
        timer.cancel()
