"""A KV cache that grows.

The engine sets every cell to zero when it makes a cache, which takes longer than loading a small model. So a model on
the CPU begins with few cells; when a sequence is about to need more, a larger context is made on a thread of its own
while the old one goes on decoding, and what is stored moves over when it is needed.
"""

import threading
from typing import Any, Final, Protocol

from scheduler.runner.engine import ModelLoadError

_FACTOR: Final = 4
_NOTICE: Final = 256
"""Tokens before the end at which a larger context is begun."""


class GrowingContext(Protocol):
    """The part of `engine.Context` that growing needs."""

    @property
    def capacity(self) -> int:
        """Tokens that one sequence has room for at present."""
        ...

    def larger(self, cells: int, /) -> Any: ...
    def move_to(self, larger: Any, /) -> bool: ...


class Growth:
    """Decides when the context of `sequences` sequences grows, up to `num_ctx` tokens each."""

    def __init__(self, context: GrowingContext, *, num_ctx: int, sequences: int) -> None:
        self._context = context
        self._num_ctx = num_ctx
        self._sequences = sequences
        self._making: _Making | None = None

    def foresee(self, tokens: int) -> None:
        """A sequence is going to have so many tokens soon."""
        if self._making is None and self._context.capacity < min(tokens + _NOTICE, self._num_ctx):
            self._making = _Making(self._context, self._size(tokens) * self._sequences)

    def ensure(self, tokens: int) -> bool:
        """Have room for a sequence of so many tokens now; False when there is no memory for it."""
        while self._context.capacity < tokens:
            if self._making is None:
                self._making = _Making(self._context, self._size(tokens) * self._sequences)
            larger = self._making.result()
            self._making = None
            if larger is None or not self._context.move_to(larger):
                return False
        return True

    def _size(self, tokens: int) -> int:
        return min(max(tokens + _NOTICE, self._context.capacity * _FACTOR), self._num_ctx)


class _Making:
    """A larger context under way."""

    def __init__(self, context: GrowingContext, cells: int) -> None:
        self._context = context
        self._cells = cells
        self._larger: Any = None
        self._thread = threading.Thread(target=self._make, name="growth", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        try:
            self._larger = self._context.larger(self._cells)
        except ModelLoadError:  # its reason is in the engine's log
            self._larger = None

    def result(self) -> Any:
        """Wait for it; None when there is not enough memory."""
        self._thread.join()
        return self._larger
