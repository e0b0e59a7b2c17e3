"""What the engine's memory of sequences can do; it differs by the kind of model.

kind       models                            a sequence can be cut back to …
whole      attention over everything         any length
window     attention over a sliding window   a length whose window is still stored, or a checkpoint
state      recurrent, hybrid                 a checkpoint
"""

from enum import Enum
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

State: TypeAlias = NDArray[np.uint8]
"""Bytes that a sequence left behind, as the engine writes them."""


class MemoryKind(Enum):
    WHOLE = "whole"
    WINDOW = "window"
    STATE = "state"


class SequenceMemory(Protocol):
    """The part of `engine.Context` that reuse needs. Positions count from 0."""

    @property
    def kind(self) -> MemoryKind: ...

    @property
    def window(self) -> int:
        """Tokens a sliding window looks back on; 0 where there is none."""
        ...

    def remove(self, sequence: int, start: int, end: int = -1, /) -> bool:
        """Forget positions [start, end); False when this kind of memory cannot."""
        ...

    def first_position(self, sequence: int, /) -> int:
        """The lowest position still stored; -1 when there is none."""
        ...

    def state_size(self, sequence: int, /, *, partial: bool = False) -> int:
        """Bytes of `save`."""
        ...

    def save(self, sequence: int, /, *, partial: bool = False) -> State | None:
        """A copy of everything stored for a sequence; None when that is impossible.

        `partial` leaves out what can be cut back anyway: the checkpoint of a window or of a recurrent state.
        """
        ...

    def restore(self, sequence: int, state: State, /, *, partial: bool = False) -> bool:
        """Put a copy into a sequence, in place of what it had. False, and nothing stored, when it does not fit."""
        ...
