"""What it costs to compute a prefix, and what to copy one: measured as it happens, never assumed.

A prefix can be had again by evaluating its tokens or by copying the state that they left behind. Which is quicker
depends on the model and the device (a state is some kilobytes a token; a GPU computes quickly and copies slowly), so
both are measured as this process really does them.
"""

import statistics
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

_LEAST_TOKENS: Final = 32
"""Smaller steps say more about what every step costs than about its tokens."""
_REMEMBERED: Final = 5
"""Measurements; their median stands, so that one that was interrupted does not count."""
_GUESS: Final = 1.0
"""Nanoseconds a byte."""
_PATIENCE: Final = 0.95
"""What a price is multiplied with each time it was found too high: it may have been measured in a bad moment."""


class Rates:
    """What one model costs on one device. `clock` counts nanoseconds."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self._tokens: deque[float] = deque(maxlen=_REMEMBERED)
        self._bytes: deque[float] = deque(maxlen=_REMEMBERED)
        self.token_time = 0.0
        """Nanoseconds a prompt token takes to evaluate; 0: not known yet."""
        self.byte_time = 0.0
        """Nanoseconds a byte of state takes to copy, one way; 0: not known yet."""

    def evaluated(self, tokens: int, elapsed: int) -> None:
        """So many prompt tokens took `elapsed` nanoseconds."""
        if tokens >= _LEAST_TOKENS:
            self._tokens.append(elapsed / tokens)
            self.token_time = statistics.median(self._tokens)

    @contextmanager
    def copying(self, size: int) -> Generator[None]:
        """Around the copying of so many bytes of state, in either direction."""
        began = self._clock()
        yield
        if size > 0:
            self._bytes.append((self._clock() - began) / size)
            self.byte_time = statistics.median(self._bytes)

    def copy_time(self, size: int) -> float:
        """Nanoseconds that copying so many bytes takes one way; a slow guess as long as nothing is known."""
        return size * (self.byte_time or _GUESS)

    def copy_pays(self, size: int, tokens: int, *, times: int) -> bool:
        """Whether copying `size` bytes `times` over is quicker than evaluating `tokens`. As long as either is unknown
        it is tried, and from time to time again."""
        if not self.token_time or not self.byte_time:
            return True
        if self.copy_time(size) * times < tokens * self.token_time:
            return True
        self.byte_time *= _PATIENCE
        return False
