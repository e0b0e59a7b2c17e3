"""How the layers of a model are divided among GPUs.

Layers leave the host from the last one, the output, down; each GPU has consecutive ones, in the order of the GPUs. They
are given out from the end: the last GPU is filled first.

    blocks  0 … 5 | 6 … 11 | 12 … 20 output
            host    GPU 0    GPU 1
"""

from collections.abc import Sequence
from typing import Final

_TOLERANCE: Final = 1e-6
_MOST: Final = 1000.0
"""Times its room that a GPU is given when a number of layers was asked for, whatever it holds."""


def in_order(free: Sequence[int], integrated: Sequence[bool], *, forced: bool) -> list[int]:
    """Positions of the GPUs in the order in which they follow each other in the model.

    The last one is filled first: discrete ones before those that share the host's memory, of either kind the smallest
    before larger ones. Where a number of layers is forced on them, integrated ones come first.
    """
    return sorted(range(len(free)), key=lambda n: (integrated[n] == forced, -free[n]))


def divide(rooms: Sequence[int], layers: Sequence[int]) -> tuple[int, ...]:
    """How many of the last layers go to each GPU that has `rooms[n]` bytes for them; as many as there is room for,
    spread as evenly as these rooms allow."""
    most = _fill(rooms, layers)
    return _balanced(rooms, layers, sum(most), 1.0) or most


def divide_all(rooms: Sequence[int], layers: Sequence[int], *, even: bool = True) -> tuple[int, ...]:
    """The same for all of `layers`, whether there is room or not. Not `even`: the GPUs that come last are filled before
    others get anything."""
    if not rooms:
        return ()
    if not even and sum(filled := _fill(rooms, layers)) == len(layers):
        return filled
    balanced = _balanced(rooms, layers, len(layers), _MOST)
    return balanced or (*(0 for _ in rooms[1:]), len(layers))[::-1]


def _balanced(rooms: Sequence[int], layers: Sequence[int], count: int, most: float) -> tuple[int, ...] | None:
    """The division by which the fullest GPU, measured by its room, is as empty as can be; None if `count` layers do not
    go into `most` times the rooms."""

    some = layers[len(layers) - count :]

    def filled(factor: float) -> tuple[int, ...]:
        return _fill([int(room * factor) for room in rooms], some)

    if sum(best := filled(most)) < count:
        return None
    low, high = 0.0, most
    while high - low > _TOLERANCE * most:
        middle = (low + high) / 2
        if sum(found := filled(middle)) == count:
            best, high = found, middle
        else:
            low = middle
    shared = _fill([int(room * high) for room in rooms], some, leave=1)
    return shared if sum(shared) == count else best


def _fill(rooms: Sequence[int], layers: Sequence[int], leave: int = 0) -> tuple[int, ...]:
    """Give out layers, the last one first, to one GPU after the other, the last one first; up to the first layer for
    which no GPU that is left has room. `leave`: so many are left for each of the others."""
    counts = [0] * len(rooms)
    gpu = len(rooms) - 1
    room = rooms[gpu] if rooms else -1
    for given, size in enumerate(reversed(layers)):
        while size > room or (counts[gpu] and len(layers) - given <= gpu * leave):
            gpu -= 1
            if gpu < 0:
                return tuple(counts)
            room = rooms[gpu]
        room -= size
        counts[gpu] += 1
    return tuple(counts)
