"""What the log says of devices: those that there are at the start, and those that go and come later."""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from scheduler.devices import Device, Snapshot
from scheduler.errors import human_bytes

_log = structlog.get_logger(__name__)

_FILTERS: Final = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HSA_OVERRIDE_GFX_VERSION",
)


def log_devices(snapshot: Snapshot, environ: Mapping[str, str]) -> None:
    """One line a device, and one a variable that hides some."""
    overridden = [variable for variable in environ if variable.startswith(_FILTERS) and environ[variable]]
    for variable in overridden:
        _log.info("user overrode visible devices", **{variable: environ[variable]})
    if overridden and not snapshot.gpus:
        _log.warning("if GPUs are not correctly discovered, unset and try again")
    for gpu in snapshot.gpus:
        _log.info(
            "inference compute",
            id=gpu.id,
            filter_id=gpu.id,
            library=gpu.library,
            compute=gpu.gfx or ".".join(map(str, gpu.compute)),
            name=gpu.name,
            description=gpu.description,
            driver=".".join(map(str, gpu.driver)),
            pci_id=gpu.pci_id,
            type="iGPU" if gpu.integrated else "discrete",
            total=human_bytes(gpu.total),
            available=human_bytes(gpu.free),
        )
    if not snapshot.gpus:
        host = snapshot.host
        sizes = {"total": human_bytes(host.total), "available": human_bytes(host.free)}
        _log.info("inference compute", id="cpu", library="cpu", **sizes)


def log_changes(
    *,
    lost: Sequence[Device],
    back: Sequence[Device],
    left: Sequence[Device],
    reason: str,
    suspected: bool,
    require: bool,
) -> None:
    """What another look at the devices has found. `reason` has the known remedy; `suspected`: a runner saw one fail."""
    for gpu in back:
        _log.info("a GPU is back", id=gpu.id, name=gpu.name, description=gpu.description)
    for gpu in lost:
        _log.error("a GPU is lost", id=gpu.id, name=gpu.name, description=gpu.description, reason=reason)
    if lost and not left:
        then = "models are refused, as LLAMAD_REQUIRE_GPU is set" if require else "models are loaded on the CPU"
        _log.warning(f"no GPU is left: {then}")
    if suspected and not lost and not back:
        _log.warning("a GPU failed, but none is lost", reason=reason)
