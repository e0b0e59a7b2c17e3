"""Which memory was short when a load ran out of it."""

import re
from typing import Final

from scheduler.errors import InsufficientMemory
from scheduler.placement import Placement

_HOST: Final = re.compile(r"\bCPU|_cpu_|_Host\b|std::bad_alloc|\bmmap\b|\bmlock\b")
"""How the engine calls buffers in the host's memory, and what the C++ library says."""


def shortage(placement: Placement, detail: str) -> InsufficientMemory:
    """The error for a load that the engine gave up with `detail`, its words, with what was needed and what there was:
    on the GPUs if it had any, unless the engine speaks of the host."""
    if not placement.gpus:
        return InsufficientMemory(placement.predicted, placement.room, detail=detail)
    if _HOST.search(detail):
        return InsufficientMemory(placement.usage.host, placement.host_free, detail=detail)
    needed = placement.predicted if placement.whole else sum(placement.usage.gpus.values())
    available = sum(gpu.free for gpu in placement.gpus)
    return InsufficientMemory(needed, available, gpu=True, detail=detail)
