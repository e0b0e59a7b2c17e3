"""Taking snapshots of this machine: which sources there are, what the installed engine can use, what is left out.

On a machine without GPU drivers a snapshot reads a handful of small files and imports nothing. GPU sources are asked
in a thread, for a limited time: a driver that hangs costs old figures, not the daemon.
"""

import asyncio
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from scheduler.devices import Device, Host, Snapshot, amd, apple, nvidia
from scheduler.devices.host import read_host

_log = structlog.get_logger(__name__)

_FIRST_LIMIT: Final = 30.0
_REFRESH_LIMIT: Final = 3.0

_BACKENDS: Final = {"cuda": "CUDA", "hip": "ROCm", "vulkan": "Vulkan", "metal": "Metal"}
_FILTERS: Final = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HSA_OVERRIDE_GFX_VERSION",
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the facts come from; tests put their own in."""

    host: Callable[[], Host] = read_host
    gpus: Callable[[Host], list[Device]] | None = None
    """None: whatever this machine has drivers for."""
    backends: frozenset[str] | None = None
    """Libraries that the installed engine was built for; None: look."""


class SystemDevices:
    """The `Devices` of the daemon."""

    def __init__(
        self, sources: Sources | None = None, *, igpu: bool | None = None, platform: str = sys.platform
    ) -> None:
        """`igpu`: whether integrated GPUs are used; None: those known to serve well."""
        self._sources = sources or Sources()
        self._igpu = igpu
        self._platform = platform
        self._last: Snapshot | None = None
        self._read_gpus: Callable[[Host], list[Device]] | None = None

    async def refresh(self) -> Snapshot:
        try:
            host = self._sources.host()
        except OSError as error:
            if self._last is None:
                raise
            _log.warning("unable to refresh system memory, using old values", error=str(error))
            host = self._last.host
        first = self._last is None
        if first:
            self._read_gpus = self._sources.gpus or find_sources(self._backends())
        gpus = await self._gpus(host, _FIRST_LIMIT if first else _REFRESH_LIMIT)
        snapshot = Snapshot(host, gpus, self._platform)
        if first:
            log_devices(snapshot, os.environ)
        self._last = snapshot
        return snapshot

    def _backends(self) -> frozenset[str]:
        return engine_backends() if self._sources.backends is None else self._sources.backends

    async def _gpus(self, host: Host, limit: float) -> tuple[Device, ...]:
        old = self._last.gpus if self._last is not None else ()
        read = self._read_gpus
        if read is None:
            return ()
        try:
            found = await asyncio.wait_for(asyncio.to_thread(read, host), limit)
        except Exception as error:
            _log.warning("unable to refresh free memory, using old values", error=str(error) or type(error).__name__)
            return old
        usable = admit(deduplicate(found), self._igpu, quiet=self._last is not None)
        if self._last is None:
            return usable
        # A device that has not answered this time is still there.
        now = {gpu.id: gpu for gpu in usable}
        return tuple(now.get(gpu.id, gpu) for gpu in old)


# -- what there is ------------------------------------------------------------------------------------------------


def find_sources(backends: frozenset[str]) -> Callable[[Host], list[Device]] | None:
    """A reader of all GPUs that have a driver here and a backend in the engine; None when there can be none."""
    readers: list[Callable[[Host], list[Device]]] = []
    if "CUDA" in backends and nvidia.driver_present() and (nvml := nvidia.load_nvml()) is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        readers.append(lambda host: nvidia.read_nvidia(nvml, host, visible))
    if "ROCm" in backends and amd.driver_present():
        readers.append(lambda _: amd.read_amd())
    if "Metal" in backends and sys.platform == "darwin":
        metal = apple.read_apple()
        readers.append(lambda _: list(metal))
    if not readers:
        return None
    return lambda host: [device for read in readers for device in read(host)]


def engine_backends() -> frozenset[str]:
    """GPU libraries that the installed engine was built with, by the names of its files. The engine is not loaded."""
    spec = importlib.util.find_spec("llama_cpp")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    folders = [Path(place, "lib") for place in places]
    if override := os.environ.get("LLAMA_CPP_LIB_PATH"):
        folders.insert(0, Path(override))
    names = [path.name for folder in folders if folder.is_dir() for path in folder.iterdir()]
    found = {library for part, library in _BACKENDS.items() if any(_is_backend(name, part) for name in names)}
    return frozenset(found)


def _is_backend(name: str, part: str) -> bool:
    return re.match(rf"(lib)?ggml-{part}\b", name) is not None


# -- what is left of it -------------------------------------------------------------------------------------------


def deduplicate(devices: Sequence[Device]) -> list[Device]:
    """Without pseudo-devices, and with each GPU once: CUDA and ROCm reach it better than Vulkan."""
    kept: list[Device] = []
    for device in sorted(devices, key=lambda one: one.library == "Vulkan"):
        if device.total > 0 and not any(_is_same(device, other) for other in kept):
            kept.append(device)
    return kept


def _is_same(one: Device, other: Device) -> bool:
    if one.library == other.library:
        return False
    if one.pci_id and other.pci_id:
        return one.pci_id == other.pci_id
    margin = max(max(one.total, other.total) // 20, 512 << 20)
    return _plain(one.description) == _plain(other.description) and abs(one.total - other.total) <= margin


def _plain(description: str) -> str:
    """A name reduced to what two drivers agree on."""
    bare = re.sub(r"\([^)]*\)", " ", description.lower())
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare).split())


def admit(devices: Sequence[Device], igpu: bool | None, *, quiet: bool = False) -> tuple[Device, ...]:
    """All discrete GPUs, and the integrated ones that are wanted."""
    admitted: list[Device] = []
    for device in devices:
        if not device.integrated or device.library == "Metal" or (_serves_well(device) if igpu is None else igpu):
            admitted.append(device)
        elif not quiet and igpu is None:
            _log.info("dropping integrated GPU; to enable, set OLLAMA_IGPU_ENABLE=1", gpu=device.description)
    return tuple(admitted)


def _serves_well(device: Device) -> bool:
    return device.library == "CUDA" or (device.library == "ROCm" and device.description == "gfx1151")


def log_devices(snapshot: Snapshot, environ: Mapping[str, str]) -> None:
    """One line a device, and one a variable that hides some."""
    overridden = [variable for variable in _FILTERS if environ.get(variable)]
    for variable in overridden:
        _log.info("user overrode visible devices", **{variable: environ[variable]})
    if overridden and not snapshot.gpus:
        _log.warning("if GPUs are not correctly discovered, unset and try again")
    for gpu in snapshot.gpus:
        _log.info(
            "inference compute",
            id=gpu.id,
            library=gpu.library,
            compute=".".join(str(part) for part in gpu.compute),
            name=gpu.name,
            description=gpu.description,
            driver=".".join(str(part) for part in gpu.driver),
            pci_id=gpu.pci_id,
            type="iGPU" if gpu.integrated else "discrete",
            total=gpu.total,
            available=gpu.free,
        )
    if not snapshot.gpus:
        host = snapshot.host
        _log.info("inference compute", id="cpu", library="cpu", total=host.total, available=host.free)
