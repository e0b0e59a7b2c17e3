"""Prefixes that had to leave the engine's memory, kept in the host's as long as there is room."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduler.runner.cache.memory import State


@dataclass(frozen=True, slots=True)
class Span:
    """A picture or a clip within a sequence: `tokens` places from `start` that advance the position by `positions`."""

    start: int
    tokens: int
    positions: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is needed to go back to the moment at which a sequence had `length` tokens."""

    length: int
    state: State


@dataclass(slots=True, eq=False)
class Kept:
    """One sequence in host memory."""

    tokens: list[int]
    state: State
    first: int
    """Lowest position it stores."""
    sound: int
    spans: Sequence[Span] = ()
    checkpoints: list[Checkpoint] = field(default_factory=list[Checkpoint])

    @property
    def size(self) -> int:
        """Bytes."""
        return self.state.nbytes + sum(checkpoint.state.nbytes for checkpoint in self.checkpoints)


class Archive:
    """At most `budget` bytes; the sequence not used for longest leaves first."""

    def __init__(self, budget: int = 0) -> None:
        self.budget = budget
        self._kept: dict[Kept, None] = {}  # in order of their last use
        self.size = 0
        """Bytes in use."""

    @property
    def room(self) -> int:
        """Bytes that are free."""
        return self.budget - self.size

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, kept: Kept) -> list[Kept]:
        """Take a sequence in; returns those that had to go, itself among them when it is too big."""
        if kept.size > self.budget:
            return [kept]
        self._kept[kept] = None
        self.size += kept.size
        gone: list[Kept] = []
        while self.size > self.budget:
            oldest = next(iter(self._kept))
            self.discard(oldest)
            gone.append(oldest)
        return gone

    def touch(self, kept: Kept) -> None:
        """It has been used just now, if it is still here."""
        if kept in self._kept:
            self._kept[kept] = self._kept.pop(kept)

    def discard(self, kept: Kept) -> None:
        """Free its memory."""
        if kept in self._kept:
            del self._kept[kept]
            self.size -= kept.size
