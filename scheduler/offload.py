"""Whether a model computes where it should: on a GPU, unless somebody asked for the CPU or there is none."""

from typing import Final

from scheduler.devices import Snapshot
from scheduler.errors import GpuRequired, human_bytes
from scheduler.faults import blames_device
from scheduler.frames import Loaded
from scheduler.placement import Placement
from scheduler.requests import Limits
from scheduler.sizes import on_gpu
from scheduler.spec import Spec

NOT_USED: Final = "the engine could not use the GPU, and loaded the model on the CPU"
"""What is said of a load that `fell_back`."""


def refusal(limits: Limits, spec: Spec, placement: Placement, snapshot: Snapshot | None) -> GpuRequired | None:
    """Why a load is not to be started: nothing of it would go to a GPU, though nobody asked for that (`num_gpu` 0)."""
    if not limits.require_gpu or spec.num_gpu == 0 or placement.gpus:
        return None
    if snapshot is None or not snapshot.gpus:
        return GpuRequired((snapshot.trouble if snapshot is not None else "") or "no GPU was found")
    free = max(gpu.free for gpu in snapshot.gpus)
    needed = human_bytes(placement.predicted)
    return GpuRequired(f"no layer fits on a GPU ({human_bytes(free)} free; all of them need {needed})")


def blames_gpu(placement: Placement, error: Exception) -> bool:
    """Whether a load failed because of a GPU, so that it may go well on others, or on none."""
    return bool(placement.gpus) and (isinstance(error, GpuRequired) or blames_device(str(error)))


def fell_back(placement: Placement, info: Loaded) -> bool:
    """Whether the engine has loaded on the CPU what was meant for a GPU: it does so, without an error, where a GPU's
    library cannot be initialised."""
    return bool(placement.gpus) and bool(info.buffers) and not any(on_gpu(buffer.device) for buffer in info.buffers)
