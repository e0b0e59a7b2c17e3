"""What the installed engine can compute on. A short-lived process asks it, for initialising a GPU's library takes
memory on the GPU and may crash or hang. See `scheduler/runner/engine/devices.py` for what the process does.
"""

import asyncio
import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from scheduler.devices.errors import ProbeFailed
from scheduler.environment import NO_GPUS, glibc_version, runner_environment
from scheduler.faults import FaultLog, exit_words

COMMAND: Final = (sys.executable, "-P", "-m", "scheduler.runner.engine.devices")

BACKENDS: Final[Mapping[str, str]] = {"cuda": "CUDA", "hip": "ROCm", "vulkan": "Vulkan", "metal": "Metal"}
"""Part of a backend's file name → library."""

_VARIABLES: Final[Mapping[str, str]] = {
    "CUDA": "CUDA_VISIBLE_DEVICES",
    "ROCm": "ROCR_VISIBLE_DEVICES",
    "Vulkan": "GGML_VK_VISIBLE_DEVICES",
}
_GAP: Final = 2
"""Indexes in a row with a device that the engine cannot use, after which there are taken to be no more."""
_KILL_PATIENCE: Final = 2.0
"""Seconds."""


class EngineDevice(msgspec.Struct, frozen=True):
    """One device as the engine lists it."""

    library: str
    name: str
    kind: str
    """cpu, gpu, igpu, accel."""
    description: str = ""
    total: int = 0
    free: int = 0
    pci_id: str = ""
    archs: str = ""
    """Compute capabilities, times a hundred, that its CUDA code is compiled for: 750,800."""

    def compiled_for(self, compute: tuple[int, int]) -> bool:
        """Whether code of the engine runs on a GPU of this capability: older code does, newer does not."""
        codes = [int(code) for code in self.archs.split(",") if code.strip().isdigit()]
        return not codes or compute == (0, 0) or min(codes) <= compute[0] * 100 + compute[1] * 10


class Listing(msgspec.Struct, frozen=True):
    """What one probe found."""

    devices: tuple[EngineDevice, ...] = ()
    complaint: str = ""
    """What the engine had to say of devices that it could not use."""

    @property
    def gpus(self) -> tuple[EngineDevice, ...]:
        return tuple(one for one in self.devices if one.kind in ("gpu", "igpu"))


class Probe(Protocol):
    """Asks the engine, in an environment with `extra` on top of ours. Raises `ProbeFailed`."""

    async def __call__(self, extra: Mapping[str, str], limit: float) -> Listing: ...


def read_listing(output: bytes) -> tuple[EngineDevice, ...]:
    """The devices of a probe's output. Raises `ProbeFailed`."""
    try:
        found = msgspec.json.decode(output, type=tuple[EngineDevice, ...])
    except msgspec.DecodeError as error:
        raise ProbeFailed(f"the list of devices cannot be read: {error}") from None
    named = (msgspec.structs.replace(one, library="Metal" if one.library == "MTL" else one.library) for one in found)
    return tuple(named)


async def probe(extra: Mapping[str, str], limit: float, *, command: Sequence[str] = COMMAND) -> Listing:
    """The `Probe` of the daemon; `limit` in seconds, after which the process is killed."""
    environment = runner_environment(os.environ, {**PROBE_ORDER, **extra}, glibc=glibc_version())
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=environment,
            start_new_session=sys.platform != "win32",
        )
    except OSError as error:
        raise ProbeFailed(f"the engine cannot be asked for its devices: {error}") from error
    try:
        output, log = await asyncio.wait_for(process.communicate(), limit)
    except TimeoutError:
        raise ProbeFailed(f"the engine has not listed its devices within {limit:g} seconds") from None
    finally:
        await _end(process)
    complaint = complaints(log.decode("utf-8", "replace"))
    if process.returncode:
        raise ProbeFailed(": ".join(filter(None, (exit_words(process.returncode), complaint))))
    return Listing(read_listing(output), complaint)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Be rid of a process that has not ended. One that hangs in a call to a driver outlives the signal."""
    if process.returncode is not None:
        return
    process.kill()
    rest = asyncio.create_task(process.communicate())
    await asyncio.wait({rest}, timeout=_KILL_PATIENCE)
    rest.cancel()


PROBE_ORDER: Final = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Indexes in a user's CUDA_VISIBLE_DEVICES count in the order of the driver's list, as in runners."""


def complaints(log: str) -> str:
    """What of an engine's log tells of trouble."""
    faults = FaultLog()
    for line in log.splitlines():
        faults.read(line)
    return faults.text.replace("\n", "; ")


def hidden(libraries: frozenset[str]) -> dict[str, str]:
    """Environment in which only GPUs of `libraries` are found. ROCm obeys CUDA's variable as well as its own."""
    unwanted = _VARIABLES.keys() - libraries - ({"CUDA"} if "ROCm" in libraries else set())
    return {_VARIABLES[library]: NO_GPUS[_VARIABLES[library]] for library in sorted(unwanted)}


async def list_devices(ask: Probe, libraries: frozenset[str], limit: float, *, platform: str = sys.platform) -> Listing:
    """What the engine can use of `libraries`. A backend that crashes costs its own devices, not those of the others.

    Raises `ProbeFailed` when nothing can be listed.
    """
    try:
        return await ask(hidden(libraries), limit)
    except ProbeFailed as error:
        if platform == "darwin" and "Metal" in libraries:
            return await ask(hidden(libraries) | NO_TENSORS, limit)
        if len(libraries) < 2:
            raise
        found: list[EngineDevice] = []
        for library in sorted(libraries):
            try:
                found += (await ask(hidden(frozenset({library})), limit)).gpus
            except ProbeFailed:
                continue
        return Listing(tuple(found), error.reason)


NO_TENSORS: Final = {"GGML_METAL_TENSOR_DISABLE": "1"}
"""Keeps Metal from what some systems cannot compile."""


async def vulkan_indexes(ask: Probe, devices: Sequence[EngineDevice], user: str | None, limit: float) -> dict[str, str]:
    """For each Vulkan device, by name, what GGML_VK_VISIBLE_DEVICES calls it.

    The variable counts all devices of the system, the engine only those it has chosen among them: so it is asked for
    one index after the other, unless the `user` has set the variable.
    """
    if user:
        return {one.name: word for one, word in zip(devices, user.replace(",", " ").split(), strict=False)}
    found: dict[str, str] = {}
    index, misses = 0, 0
    while len(found) < len(devices) and misses <= _GAP:
        try:
            shown = (await ask({**hidden(frozenset({"Vulkan"})), _VARIABLES["Vulkan"]: str(index)}, limit)).gpus
        except ProbeFailed:
            shown = ()
        same = [one for one in devices if one.name not in found and shown and _identity(one) == _identity(shown[0])]
        if same:
            found[same[0].name] = str(index)
        misses = 0 if shown else misses + 1
        index += 1
    return found


def _identity(device: EngineDevice) -> tuple[str, str, int]:
    return device.pci_id, device.description, device.total


def engine_backends() -> frozenset[str]:
    """GPU libraries that the installed engine was built with, by the names of its files; all of them where it is one
    file that does not tell. The engine is not loaded."""
    spec = importlib.util.find_spec("llama_cpp")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    folders = [Path(place, "lib") for place in places]
    if override := os.environ.get("LLAMA_CPP_LIB_PATH"):
        folders = [Path(override)]
    names = [path.name for folder in folders if folder.is_dir() for path in folder.iterdir()]
    if names and not any(re.match(r"(lib)?ggml\b", name) for name in names):
        return frozenset(BACKENDS.values())
    return frozenset(library for part, library in BACKENDS.items() if any(_is_backend(name, part) for name in names))


def _is_backend(name: str, part: str) -> bool:
    return re.match(rf"(lib)?ggml-{part}\b", name) is not None
