"""NVIDIA GPUs, from the driver's management library (NVML, by way of pynvml).

NVML neither initialises a GPU nor takes memory on it. It lists devices in PCI order, so runners are told
`CUDA_DEVICE_ORDER=PCI_BUS_ID`, and devices are named by UUID, which no order can confuse.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import structlog

from scheduler.devices import Device, Host
from scheduler.devices.errors import DriverFailed

_log = structlog.get_logger(__name__)

_OLDEST_COMPUTE: Final = (5, 0)
_NOT_SUPPORTED: Final = 3
"""NVML_ERROR_NOT_SUPPORTED of nvml.h."""


class Nvml(Protocol):
    """The part of pynvml that is used. Every call may raise `NVMLError`, whose `value` is the code of nvml.h."""

    @property
    def NVMLError(self) -> type[Exception]: ...

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Any: ...
    def nvmlDeviceGetName(self, handle: Any, /) -> str: ...
    def nvmlDeviceGetUUID(self, handle: Any, /) -> str: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Any, /) -> Any: ...
    def nvmlDeviceGetCudaComputeCapability(self, handle: Any, /) -> Any: ...
    def nvmlDeviceGetPciInfo(self, handle: Any, /) -> Any: ...
    def nvmlDeviceGetMigMode(self, handle: Any, /) -> Any: ...
    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, /) -> int: ...
    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int, /) -> Any: ...


def driver_present(root: Path = Path("/")) -> bool:
    """Whether it is worth importing pynvml at all."""
    if os.name == "nt":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvml.dll").exists()
    return any((root / path).exists() for path in ("proc/driver/nvidia/version", "dev/nvidiactl", "dev/dxg"))


def load_nvml() -> Nvml | None:
    """pynvml, ready to be asked; None where it is not installed. Raises `DriverFailed`."""
    try:
        import pynvml  # only on machines with a driver: the library costs memory
    except ImportError:
        return None
    library = cast(Nvml, pynvml)
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        raise DriverFailed("CUDA", f"Failed to initialize NVML: {error}") from error
    return library


def close_nvml(nvml: Nvml) -> None:
    """So that it can be opened anew, for instance after the driver was reloaded."""
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:
        pass  # it was closed, or never open


def read_nvidia(nvml: Nvml, visible: str | None, host: Host, complain: Callable[[str], None]) -> list[Device]:
    """The GPUs now, those of `visible` (the user's CUDA_VISIBLE_DEVICES) if that is set.

    A GPU that does not answer is left out, and `complain` told why. Raises `DriverFailed` when none can be asked.
    """
    try:
        driver = _version(nvml.nvmlSystemGetDriverVersion())
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise DriverFailed("CUDA", f"NVML: {error}") from error
    found: list[Device] = []
    for i in range(count):
        try:
            handles = _handles(nvml, i)
            found += [one for handle in handles if (one := _read(nvml, i, handle, driver, host)) is not None]
        except nvml.NVMLError as error:
            complain(f"NVML, GPU {i}: {error}")
    return select_visible(found, visible)


def _handles(nvml: Nvml, index: int) -> Sequence[Any]:
    """The GPU, or the instances of a partitioned one."""
    whole = nvml.nvmlDeviceGetHandleByIndex(index)
    parts = _instances(nvml, whole)
    return [whole] if parts is None else parts


def _instances(nvml: Nvml, handle: Any) -> list[Any] | None:
    """MIG instances; None when the GPU is not partitioned."""
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
        if not current:
            return None
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:
        return None
    parts: list[Any] = []
    for i in range(most):
        try:
            parts.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i))
        except nvml.NVMLError:
            continue  # the slot holds no instance
    return parts


def _read(nvml: Nvml, index: int, handle: Any, driver: tuple[int, int], host: Host) -> Device | None:
    compute = _ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle, (0, 0))
    compute = (int(compute[0]), int(compute[1]))
    if (0, 0) < compute < _OLDEST_COMPUTE:
        _log.info("NVIDIA GPU is too old", index=index, compute=compute)
        return None
    memory = _supported(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    # Parts that share the system's memory do not support the query.
    total, free = (host.total, host.free) if memory is None else (int(memory.total), int(memory.free))
    pci = _ask(nvml, nvml.nvmlDeviceGetPciInfo, handle, None)
    return Device(
        id=nvml.nvmlDeviceGetUUID(handle),
        library="CUDA",
        name=f"CUDA{index}",
        description=nvml.nvmlDeviceGetName(handle),
        total=total,
        free=free,
        integrated=memory is None,
        compute=compute,
        driver=driver,
        pci_id=_pci_id(pci.busId) if pci is not None else "",
    )


def _supported(nvml: Nvml, question: Any, handle: Any) -> Any:
    """The answer, or None where this kind of GPU has none. A GPU that is lost is not one without memory of its own."""
    try:
        return question(handle)
    except nvml.NVMLError as error:
        if getattr(error, "value", None) != _NOT_SUPPORTED:
            raise
        return None


def _ask(nvml: Nvml, question: Any, handle: Any, otherwise: Any) -> Any:
    try:
        return question(handle)
    except nvml.NVMLError:
        return otherwise


def _version(text: str) -> tuple[int, int]:
    """`550.54.15` → (550, 54)."""
    parts = [int(part) for part in text.split(".")[:2] if part.isdigit()]
    return (parts[0], parts[1]) if len(parts) == 2 else (0, 0)


def _pci_id(bus: str | bytes) -> str:
    """`00000000:C1:00.0` → `0000:c1:00.0`."""
    text = (bus.decode() if isinstance(bus, bytes) else bus).lower()
    domain, _, rest = text.partition(":")
    return f"{domain[-4:]}:{rest}"


def select_visible(devices: Sequence[Device], visible: str | None) -> list[Device]:
    """What CUDA_VISIBLE_DEVICES leaves, in its order: indexes or prefixes of UUIDs, up to the first that is invalid."""
    if visible is None:
        return list(devices)
    by_index: Mapping[int, Device] = {int(one.name.removeprefix("CUDA")): one for one in reversed(devices)}
    chosen: list[Device] = []
    for word in (part.strip() for part in visible.split(",")):
        if word.isdigit():
            device = by_index.get(int(word))
        else:
            named = [one for one in devices if word and one.id.startswith(word)]
            device = named[0] if len(named) == 1 else None
        if device is None:
            break
        if device not in chosen:
            chosen.append(device)
    return chosen
