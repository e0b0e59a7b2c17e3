"""Sequences whose KV is resident, and the choice of the one that a new prompt continues.

A slot is one of the engine's sequence ids with the tokens stored under it. A finished conversation stays resident until
its slot is needed, so that its next turn evaluates only what is new.
"""

from collections.abc import Sequence
from typing import Protocol


class Memory(Protocol):
    """The part of the engine's KV memory that reuse needs."""

    def remove(self, sequence: int, start: int, end: int = -1, /) -> bool: ...


class Slot:
    """One sequence id and what is stored under it."""

    __slots__ = ("busy", "id", "tokens", "used")

    def __init__(self, id: int) -> None:
        self.id = id
        self.tokens: list[int] = []
        self.busy = False
        self.used = 0
        """Turn of its last claim; 0: never."""

    def truncate(self, memory: Memory, length: int) -> int:
        """Keep the first `length` tokens; returns how many could be kept (recurrent memory keeps all or nothing)."""
        if length < len(self.tokens):
            if not (length and memory.remove(self.id, length)):
                memory.remove(self.id, 0)
                length = 0
            del self.tokens[length:]
        return length


class Slots:
    """All slots of a context."""

    def __init__(self, count: int) -> None:
        self.all = [Slot(id) for id in range(count)]
        self._turn = 0

    def idle(self) -> list[Slot]:
        """Slots without a running request."""
        return [slot for slot in self.all if not slot.busy]

    def claim(self, prompt: Sequence[int], memory: Memory) -> tuple[Slot, int] | None:
        """A slot for the prompt and the number of its leading tokens that are stored already; None when all are busy.

        The last token of a prompt always counts as new: evaluating it gives the logits to begin with.
        """
        idle = self.idle()
        if not idle:
            return None
        shared = {slot.id: common_prefix(slot.tokens, prompt) for slot in idle}
        best = max(idle, key=lambda slot: (shared[slot.id], -slot.used, -slot.id))
        if shared[best.id] * 2 < len(best.tokens):  # another conversation: rather take the one not used for longest
            best = min(idle, key=lambda slot: (slot.used if slot.tokens else 0, slot.id))
        self._turn += 1
        best.busy, best.used = True, self._turn
        return best, best.truncate(memory, min(shared[best.id], len(prompt) - 1))


def common_prefix(stored: Sequence[int], prompt: Sequence[int]) -> int:
    """Length of the longest common prefix, by bisection over slices (which compare at C speed)."""
    low, high = 0, min(len(stored), len(prompt))
    if stored[:high] == prompt[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if stored[low:middle] == prompt[low:middle]:
            low = middle
        else:
            high = middle
    return low
