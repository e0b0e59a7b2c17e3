"""AMD GPUs on Linux, from what the amdgpu driver tells in sysfs.

/sys/class/kfd/kfd/topology/nodes/<n>/properties     vendor_id 4098, gfx_target_version, drm_render_minor …
/sys/class/drm/renderD<minor>/device/                mem_info_vram_total, mem_info_vram_used, mem_info_gtt_…
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from scheduler.devices import Device

_log = structlog.get_logger(__name__)

_VENDOR: Final = 4098
_GIB: Final = 1 << 30


def driver_present(root: Path = Path("/")) -> bool:
    """Whether the compute driver is loaded."""
    return (root / "sys/class/kfd/kfd/topology/nodes").is_dir()


def read_amd(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> list[Device]:
    """The GPUs now that this user may open, less what the user's filters hide."""
    found: list[Device] = []
    nodes = sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("[0-9]*"), key=lambda path: int(path.name))
    if nodes and not os.access(root / "dev/kfd", os.R_OK | os.W_OK):
        _log.warning("no permission on /dev/kfd; add this user to the groups render and video")
        return []
    for node in nodes:
        device = _read_node(root, _properties(node / "properties"), index=len(found))
        if device is not None:
            found.append(device)
    return _visible(found, environ)


def _properties(path: Path) -> Mapping[str, int]:
    try:
        pairs = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _read_node(root: Path, properties: Mapping[str, int], *, index: int) -> Device | None:
    target = properties.get("gfx_target_version", 0)
    if properties.get("vendor_id") != _VENDOR or target == 0:
        return None  # a CPU, or another vendor's
    minor = properties.get("drm_render_minor", 0)
    render = root / f"dev/dri/renderD{minor}"
    if not os.access(render, os.R_OK | os.W_OK):
        _log.warning("no permission on a GPU", path=str(render))
        return None
    card = root / f"sys/class/drm/renderD{minor}/device"
    vram, vram_used = _number(card / "mem_info_vram_total"), _number(card / "mem_info_vram_used")
    gtt, gtt_used = _number(card / "mem_info_gtt_total"), _number(card / "mem_info_gtt_used")
    integrated = is_integrated(card, vram, gtt)
    total, used = (vram + gtt, vram_used + gtt_used) if integrated else (vram, vram_used)
    unique = properties.get("unique_id", 0)
    return Device(
        id=f"GPU-{unique:016x}" if unique else str(index),
        library="ROCm",
        name=f"ROCm{index}",
        description=gfx_name(target),
        total=total,
        free=max(total - used, 0),
        integrated=integrated,
        compute=(target // 10000, target // 100 % 100),
        pci_id=os.path.basename(os.path.realpath(card)),
    )


def gfx_name(target: int) -> str:
    """`gfx_target_version` as the kernels are called: 90402 → gfx942, 90010 → gfx90a."""
    return f"gfx{target // 10000}{target // 100 % 100}{target % 100:x}"


def is_integrated(card: Path, vram: int, gtt: int) -> bool:
    """Whether the GPU lives on the system's memory: little of its own, and much on loan."""
    if (card / "mem_info_vram_vendor").exists() or (card / "board_info").exists():
        return False
    return vram <= 4 * _GIB and gtt >= 8 * _GIB and gtt >= 4 * vram


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _visible(devices: Sequence[Device], environ: Mapping[str, str]) -> list[Device]:
    """What the user's filters leave. Each applies to what the one before it left, by position or by id."""
    left = list(devices)
    for variable in ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"):
        wanted = environ.get(variable)
        if not wanted:
            continue
        chosen: list[Device] = []
        for word in (part.strip() for part in wanted.split(",")):
            match = [one for i, one in enumerate(left) if word in (str(i), one.id)]
            if not match:
                break
            chosen.append(match[0])
        left = chosen
    return [replace(one, name=f"ROCm{i}") for i, one in enumerate(left)]
