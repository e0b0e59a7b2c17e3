"""What the GPU drivers of this machine tell of their devices, without initialising one: identity and free memory.

Which of the devices this build of the engine can use, it says itself (engine.py); `match` brings both together.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from scheduler.devices import Device, Host, Library, amd, apple, nvidia
from scheduler.devices.engine import EngineDevice
from scheduler.devices.errors import DriverFailed

_LIBRARIES: Final[Mapping[str, Library]] = {"CUDA": "CUDA", "ROCm": "ROCm", "Metal": "Metal", "Vulkan": "Vulkan"}


@dataclass(frozen=True, slots=True)
class Reading:
    """The drivers' devices at one moment, and why some are missing."""

    devices: tuple[Device, ...] = ()
    complaints: tuple[str, ...] = ()

    def of(self, device: Device) -> Device | None:
        """What is told now of a device that was known before."""
        return next((one for one in self.devices if _same(one, device)), None)


Complain = Callable[[str], None]
Reader = Callable[[Host, Complain], Sequence[Device]]


def nothing() -> None:
    """Close what needs no closing."""


@dataclass(frozen=True, slots=True)
class Drivers:
    """Open drivers. One that fails costs its own devices."""

    readers: Sequence[Reader] = ()
    complaints: Sequence[str] = ()
    """Of drivers that could not be opened."""
    close: Callable[[], None] = nothing

    def read(self, host: Host) -> Reading:
        """Ask them all; may take long, and is called in a thread."""
        found: list[Device] = []
        complaints = list(self.complaints)
        for reader in self.readers:
            try:
                found += reader(host, complaints.append)
            except DriverFailed as error:
                complaints.append(error.reason)
        return Reading(tuple(found), tuple(complaints))


def open_drivers(
    environ: Mapping[str, str] = os.environ,
    *,
    root: Path = Path("/"),
    load_nvml: Callable[[], nvidia.Nvml | None] = nvidia.load_nvml,
    sysctl: Callable[[], str] = apple.run_sysctl,
    platform: str = sys.platform,
) -> Drivers:
    """Whatever this machine has drivers for."""
    readers: list[Reader] = []
    complaints: list[str] = []
    nvml: nvidia.Nvml | None = None
    if nvidia.driver_present(root):
        try:
            nvml = load_nvml()
        except DriverFailed as error:
            complaints.append(error.reason)
    if nvml is not None:
        readers.append(partial(nvidia.read_nvidia, nvml, environ.get("CUDA_VISIBLE_DEVICES")))
    if amd.driver_present(root):
        readers.append(lambda _, complain: amd.read_amd(root, environ, complain))
    if platform == "darwin":
        metal = apple.read_apple(sysctl)
        readers.append(lambda _host, _complain: metal)
    return Drivers(readers, complaints, partial(nvidia.close_nvml, nvml) if nvml is not None else nothing)


def match(listed: Iterable[EngineDevice], reading: Reading, environ: Mapping[str, str] = os.environ) -> list[Device]:
    """The engine's GPUs, each with what a driver knows of it: what names it to a runner, what is free.

    The engine decides which there are and how large they are to it. An instance of a partitioned GPU has the PCI
    address of the whole.
    """
    devices: list[Device] = []
    for one in listed:
        library = _LIBRARIES.get(one.library)
        if library is None:
            continue  # a library that no runner can be confined to
        facts = [fact for fact in reading.devices if _describes(fact, one)]
        own = [fact for fact in facts if fact.library == library]
        if own:
            devices += [_joined(one, fact, whole=len(own) == 1) for fact in own]
        else:
            position = sum(device.library == library for device in devices)
            devices.append(_foreign(one, library, facts[0] if facts else None, position, environ))
    return devices


def _describes(fact: Device, one: EngineDevice) -> bool:
    if fact.library == "Metal":
        return one.library == "Metal"
    if fact.pci_id and one.pci_id:
        return fact.pci_id == one.pci_id
    return fact.library == one.library and fact.name == one.name


def _joined(one: EngineDevice, fact: Device, *, whole: bool) -> Device:
    total = one.total if whole and one.total else fact.total
    return replace(
        fact,
        name=one.name,
        description=one.description or fact.description,
        total=total,
        free=total if fact.library == "Metal" else min(fact.free, total),
        integrated=fact.integrated or one.kind == "igpu",
    )


def _foreign(
    one: EngineDevice, library: Library, fact: Device | None, position: int, environ: Mapping[str, str]
) -> Device:
    """A device whose library has no driver to ask, but another library may know of the same card."""
    return Device(
        id=_position(library, position, environ),
        library=library,
        name=one.name,
        total=one.total,
        free=min(one.free, one.total) if fact is None else min(fact.free, one.total),
        description=one.description,
        integrated=one.kind == "igpu" or library == "Metal",
        driver=fact.driver if fact is not None else (0, 0),
        pci_id=one.pci_id,
    )


def _position(library: Library, position: int, environ: Mapping[str, str]) -> str:
    """What the library's variable calls the device at `position` of those that the user's setting leaves."""
    variable = {"CUDA": "CUDA_VISIBLE_DEVICES", "ROCm": "ROCR_VISIBLE_DEVICES"}.get(library, "")
    words = [word.strip() for word in environ.get(variable, "").split(",") if word.strip()]
    return words[position] if position < len(words) else str(position)


def refreshed(device: Device, reading: Reading) -> Device | None:
    """The device with what is free now; None when no driver tells of it any more."""
    if device.library == "Metal":
        return device  # the system tells nothing of it
    fact = reading.of(device)
    return None if fact is None else replace(device, free=min(fact.free, device.total))


def _same(fact: Device, device: Device) -> bool:
    if fact.library == device.library:
        return fact.id == device.id
    return bool(fact.pci_id) and fact.pci_id == device.pci_id
