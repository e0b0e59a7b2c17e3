"""Taking snapshots of this machine: which GPUs the engine can use, what is free on them, and which are gone.

    engine.py   a short-lived process lists what this build can compute on: the truth of what there is
    drivers.py  NVML, sysfs and sysctl name those devices and tell, cheaply and again and again, what is free
    choice.py   leaves out what the operator does not want

The engine is asked once, and again when a device vanishes from its driver's list or a runner reports that one failed.
On a machine whose build has no GPU backend a snapshot reads a handful of small files and imports nothing. Drivers are
asked in a thread, for a limited time: one that hangs costs old figures, not the daemon.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from scheduler import faults
from scheduler.devices import Device, Host, Snapshot, amd, choice, drivers, engine
from scheduler.devices.choice import Wishes
from scheduler.devices.drivers import Drivers, Reading
from scheduler.devices.engine import EngineDevice, Listing, Probe
from scheduler.devices.errors import ProbeFailed
from scheduler.devices.host import in_container, read_host
from scheduler.devices.report import log_changes, log_devices

_log = structlog.get_logger(__name__)

_FIRST_LIMIT: Final = 30.0 if sys.platform != "win32" else 90.0
_REFRESH_LIMIT: Final = 3.0
_LOOK_AGAIN: Final = 30.0
"""Seconds between looks whether GPUs that are missed have come back."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the facts come from; tests put their own in."""

    host: Callable[[], Host] = read_host
    open_drivers: Callable[[], Drivers] = drivers.open_drivers
    ask_engine: Probe = engine.probe
    backends: Callable[[], frozenset[str]] = engine.engine_backends
    """Libraries that the installed engine was built with."""
    kernels: Callable[[], frozenset[str]] = amd.kernels
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now: Callable[[], float] = time.monotonic
    container: Callable[[], bool] = in_container


class SystemDevices:
    """The `Devices` of the daemon."""

    def __init__(self, wishes: Wishes | None = None, sources: Sources | None = None, *, platform: str = sys.platform):
        self._wishes = wishes or Wishes()
        self._sources = sources or Sources()
        self._platform = platform
        self._drivers = Drivers()
        self._libraries: frozenset[str] = frozenset()
        self._gpus: tuple[Device, ...] = ()
        self._missing: tuple[Device, ...] = ()
        """Devices that were here before."""
        self._untold: frozenset[str] = frozenset()
        """Names of devices that no driver tells the free memory of: only the engine does."""
        self._reason = ""
        """Why they are missing."""
        self._suspicion: str | None = None
        self._looked_at = 0.0
        self._last: Snapshot | None = None
        self._turn = asyncio.Lock()

    async def refresh(self) -> Snapshot:
        async with self._turn:
            host = self._host()
            if self._last is None:
                await self._first_look(host)
            elif self._libraries:
                await self._look(host)
            snapshot = Snapshot(host, self._gpus, self._platform, self._explain(self._reason))
            if self._last is None:
                log_devices(snapshot, self._sources.environ)
            self._last = snapshot
            return snapshot

    def suspect(self, reason: str) -> None:
        if self._libraries:
            self._suspicion = reason

    def _host(self) -> Host:
        try:
            return self._sources.host()
        except OSError as error:
            if self._last is None:
                raise
            _log.warning("unable to refresh system memory, using old values", error=str(error))
            return self._last.host

    # -- which devices there are ----------------------------------------------------------------------------------

    async def _first_look(self, host: Host) -> None:
        self._libraries = choice.wanted_libraries(self._wishes, self._sources.backends())
        if not self._libraries:
            return
        listing, reading = await self._discover(host)
        if not self._gpus:
            self._reason = _joined(listing.complaint, *reading.complaints)
        if self._reason:
            _log.warning("no GPU can be used", reason=self._explain(self._reason))

    async def _discover(self, host: Host) -> tuple[Listing, Reading]:
        """Ask the engine and the drivers anew."""
        self._looked_at = self._sources.now()
        self._drivers.close()
        self._drivers = await asyncio.to_thread(self._sources.open_drivers)
        try:
            listing = await engine.list_devices(
                self._sources.ask_engine, self._libraries, _FIRST_LIMIT, platform=self._platform
            )
        except ProbeFailed as error:
            listing = Listing(complaint=error.reason)
        reading = await self._read(host, _FIRST_LIMIT) or Reading()
        usable = [one for one in listing.gpus if one.library in self._libraries and self._compiled(one, reading)]
        found = choice.deduplicate(drivers.match(usable, reading, self._sources.environ))
        found = [gpu for gpu in found if self._has_kernels(gpu)]
        admitted = choice.admit(found, self._wishes.igpu, quiet=self._last is not None)
        self._gpus = await self._with_indexes(admitted, usable)
        self._untold = frozenset(gpu.name for gpu in self._gpus if drivers.refreshed(gpu, reading) is None)
        return listing, reading

    def _compiled(self, one: EngineDevice, reading: Reading) -> bool:
        fact = next((fact for fact in reading.devices if fact.pci_id and fact.pci_id == one.pci_id), None)
        if fact is None or one.library != "CUDA" or one.compiled_for(fact.compute):
            return True
        _log.warning(
            "skipping CUDA device: compute capability not in compiled architectures",
            name=one.name,
            compute=".".join(map(str, fact.compute)),
            archs=one.archs,
        )
        return False

    def _has_kernels(self, gpu: Device) -> bool:
        if gpu.library != "ROCm" or not gpu.gfx:
            return True
        targets = self._sources.kernels()
        if not targets or gpu.gfx in targets:
            return True
        _log.warning(
            "skipping ROCm device: rocBLAS has no code for it; HSA_OVERRIDE_GFX_VERSION may name a relative",
            name=gpu.name,
            gfx=gpu.gfx,
            available=sorted(targets),
        )
        return False

    async def _with_indexes(self, gpus: tuple[Device, ...], usable: list[EngineDevice]) -> tuple[Device, ...]:
        """With ids by which Vulkan devices can be chosen, if there are any."""
        names = {gpu.name for gpu in gpus if gpu.library == "Vulkan"}
        listed = [one for one in usable if one.library == "Vulkan" and one.name in names]
        if not names:
            return gpus
        user = self._sources.environ.get("GGML_VK_VISIBLE_DEVICES")
        ids = await engine.vulkan_indexes(self._sources.ask_engine, listed, user, _FIRST_LIMIT)
        return tuple(replace(gpu, id=ids.get(gpu.name, gpu.id)) if gpu.name in names else gpu for gpu in gpus)

    def _explain(self, reason: str) -> str:
        """The reason with the known remedy; without one on a machine that has no driver to mend."""
        known = self._drivers.readers or self._drivers.complaints or self._missing
        advice = faults.remedy(reason, container=self._sources.container()) if reason and known else ""
        return _joined(reason, advice)

    # -- what is free on them -------------------------------------------------------------------------------------

    async def _look(self, host: Host) -> None:
        suspicion, self._suspicion = self._suspicion, None
        if suspicion is None and self._missing and self._sources.now() - self._looked_at >= _LOOK_AGAIN:
            suspicion = ""
        if suspicion is None:
            reading = await self._read(host, _REFRESH_LIMIT)
            if reading is None:
                return
            gone = [gpu for gpu in self._gpus if gpu.name not in self._untold and not drivers.refreshed(gpu, reading)]
            if not gone:
                await self._update(reading)
                return
            suspicion = "; ".join(reading.complaints) or f"the driver does not list {gone[0].name} any more"
        await self._look_again(host, suspicion)

    async def _look_again(self, host: Host, suspicion: str) -> None:
        """A device is gone, or said to be: see what is left."""
        before = (*self._gpus, *self._missing)
        missed = {_key(gpu) for gpu in self._missing}
        listing, reading = await self._discover(host)
        here = {_key(gpu) for gpu in self._gpus}
        self._missing = tuple(gpu for gpu in before if _key(gpu) not in here)
        reason = _joined(suspicion, listing.complaint, *reading.complaints) or self._reason
        self._reason = reason if self._missing else ""
        log_changes(
            lost=[gpu for gpu in self._missing if _key(gpu) not in missed],
            back=[gpu for gpu in self._gpus if _key(gpu) in missed],
            left=self._gpus,
            reason=self._explain(reason),
            suspected=bool(suspicion),
            require=self._wishes.require,
        )

    async def _read(self, host: Host, limit: float) -> Reading | None:
        """What the drivers say; None when they do not answer in time."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._drivers.read, host), limit)
        except Exception as error:
            reason = str(error) or type(error).__name__
            _log.warning("unable to refresh free memory, using old values", error=reason)
            return None

    async def _update(self, reading: Reading) -> None:
        known = [drivers.refreshed(gpu, reading) or gpu for gpu in self._gpus]
        asked = {gpu.name for gpu in known if gpu.name in self._untold and not gpu.integrated}
        free: dict[str, int] = {}
        if asked:
            try:
                listing = await self._sources.ask_engine(engine.hidden(self._libraries), _REFRESH_LIMIT)
                free = {one.name: one.free for one in listing.gpus if one.name in asked}
            except ProbeFailed as error:
                _log.warning("unable to refresh free memory, using old values", error=error.reason)
        self._gpus = tuple(replace(gpu, free=min(free.get(gpu.name, gpu.free), gpu.total)) for gpu in known)


def _key(gpu: Device) -> tuple[str, str]:
    return gpu.library, gpu.id


def _joined(*texts: str) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))
