"""What the operator wants of the GPUs there are: which libraries, integrated ones or not, each GPU once."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from scheduler.devices import Device

_log = structlog.get_logger(__name__)

_FAMILIES: Final[Mapping[str, str]] = {
    "cpu": "",
    "cuda": "CUDA",
    "hip": "ROCm",
    "rocm": "ROCm",
    "vulkan": "Vulkan",
    "metal": "Metal",
    "mtl": "Metal",
}
_RASTERISERS: Final = ("llvmpipe", "lavapipe", "swiftshader", "softpipe")
"""Vulkan drivers that compute on the processor, by how their devices are called."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The operator's settings about GPUs."""

    library: str = ""
    """OLLAMA_LLM_LIBRARY: cpu, cuda, cuda_v12, rocm, vulkan, metal; empty: whatever there is."""
    igpu: bool | None = None
    """OLLAMA_IGPU_ENABLE; None: integrated GPUs that are known to serve well."""
    vulkan: bool = True
    """OLLAMA_VULKAN."""
    require: bool = False
    """LLAMAD_REQUIRE_GPU: GPUs that are missed are an error, not a reason to use the processor."""


def wanted_libraries(wishes: Wishes, present: frozenset[str]) -> frozenset[str]:
    """Of the libraries in this build, those to look for devices with.

    A name that nobody knows is as good as none; one of a library that is not in the build leaves the processor. Either
    is logged, with what there is to choose from. Versions behind a name (`cuda_v12`) are those of other builds.
    """
    allowed = present if wishes.vulkan else present - {"Vulkan"}
    name = wishes.library.strip().lower()
    if not name:
        return allowed
    there = ["cpu", *sorted(library.lower() for library in present)]
    family = _FAMILIES.get(re.split(r"[_-]", name)[0])
    if family is None:
        _log.warning("unknown OLLAMA_LLM_LIBRARY is ignored", requested=wishes.library, available=there)
        return allowed
    if family and family not in present:
        _log.warning("OLLAMA_LLM_LIBRARY is not in this build, using the CPU", requested=name, available=there)
    elif family:
        _log.info("using the library that OLLAMA_LLM_LIBRARY names", requested=name, available=there)
    return present & {family}


def deduplicate(devices: Iterable[Device]) -> list[Device]:
    """Without pseudo-devices, and with each GPU once: CUDA and ROCm reach it better than Vulkan."""
    kept: list[Device] = []
    for device in sorted(devices, key=lambda one: one.library == "Vulkan"):
        if device.total > 0 and not is_rasteriser(device) and not any(_is_same(device, other) for other in kept):
            kept.append(device)
    return kept


def is_rasteriser(device: Device) -> bool:
    """Whether a Vulkan device is the processor in disguise."""
    return device.library == "Vulkan" and device.description.lower().startswith(_RASTERISERS)


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
            _log.info(
                "dropping integrated GPU; to enable, set OLLAMA_IGPU_ENABLE=1",
                id=device.id,
                library=device.library,
                name=device.name,
                description=device.description,
                pci_id=device.pci_id,
            )
    return tuple(admitted)


def _serves_well(device: Device) -> bool:
    return device.library == "CUDA" or (device.library == "ROCm" and device.gfx == "gfx1151")
