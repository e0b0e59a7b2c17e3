"""What the machine has to load models into, as values.

A `Snapshot` is taken by a `Devices` (`probe.SystemDevices` is the real one) and read by pure functions: nothing that
decides ever asks the machine itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

import structlog

_log = structlog.get_logger(__name__)

Library: TypeAlias = Literal["CUDA", "ROCm", "Metal", "Vulkan"]


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU."""

    id: str
    """What the library's visible-devices variable takes to name it: a UUID, or an index."""
    library: Library
    name: str
    """As the engine calls it: CUDA0."""
    total: int
    free: int
    description: str = ""
    integrated: bool = False
    """Its memory is the system's."""
    compute: tuple[int, int] = (0, 0)
    """CUDA capability, or major and minor of the ROCm gfx target; zeros when unknown."""
    driver: tuple[int, int] = (0, 0)
    pci_id: str = ""
    gfx: str = ""
    """ROCm target its kernels are compiled for: gfx1100."""


@dataclass(frozen=True, slots=True)
class Host:
    """The system itself."""

    total: int
    free: int
    """Bytes that may be had without swapping, reclaimable page cache included, within the cgroup's limit."""
    swap_free: int = 0
    threads: int = 1
    """Threads a model should compute with when nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The machine at one moment."""

    host: Host
    gpus: tuple[Device, ...] = ()
    platform: str = "linux"
    """`sys.platform`."""
    trouble: str = ""
    """Why GPUs are missing that were there, or should be, with the known remedy; empty when none is missed."""


class Devices(Protocol):
    """Takes snapshots."""

    async def refresh(self) -> Snapshot:
        """The machine now. Never fails: what cannot be read keeps its last value."""
        ...

    def suspect(self, reason: str) -> None:
        """A GPU has failed somebody, who says why: the next `refresh` finds out which are still there."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """What a loaded model is predicted to occupy."""

    gpus: Mapping[str, int]
    """Bytes by device id."""
    host: int = 0


def account(snapshot: Snapshot, usages: Iterable[Usage]) -> Snapshot:
    """Less free memory, where the models known to be loaded leave less than the driver reports: drivers lag."""
    usages = list(usages)
    gpus = tuple(
        _adjusted(gpu, [usage.gpus[gpu.id] for usage in usages if gpu.id in usage.gpus]) for gpu in snapshot.gpus
    )
    host = snapshot.host
    left = max(host.total - sum(usage.host for usage in usages), 0)
    return replace(snapshot, gpus=gpus, host=replace(host, free=min(host.free, left)))


def _adjusted(gpu: Device, used: list[int]) -> Device:
    if not used:
        return gpu
    if sum(used) > gpu.total:
        _log.warning("predicted usage exceeds VRAM", gpu=gpu.id, total=gpu.total, predicted=sum(used))
    return replace(gpu, free=max(min(gpu.free, gpu.total - sum(used)), 0))


@dataclass(frozen=True, slots=True)
class Available:
    """Memory a group of GPUs offers together."""

    size: int
    limited_by_system: bool


def available(gpus: Iterable[Device], system_free: int | None) -> Available:
    """Discrete memory, and integrated memory as far as the system really has it; `None`: unknown."""
    gpus = list(gpus)
    discrete = sum(gpu.free for gpu in gpus if not gpu.integrated)
    shared = sum(gpu.free for gpu in gpus if gpu.integrated)
    if system_free is None or shared <= system_free:
        return Available(discrete + shared, limited_by_system=False)
    return Available(discrete + system_free, limited_by_system=True)
