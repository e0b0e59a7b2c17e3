"""AMD GPUs on Linux, from what the amdgpu driver tells in sysfs.

/sys/class/kfd/kfd/topology/nodes/<n>/properties     vendor_id 4098, gfx_target_version, drm_render_minor …
/sys/class/drm/renderD<minor>/device/                mem_info_vram_total, mem_info_vram_used, mem_info_gtt_…
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from scheduler.devices import Device
from scheduler.devices.errors import DriverFailed

_VENDOR: Final = 4098
_GIB: Final = 1 << 30


def driver_present(root: Path = Path("/")) -> bool:
    """Whether the compute driver is loaded."""
    return (root / "sys/class/kfd/kfd/topology/nodes").is_dir()


def read_amd(
    root: Path = Path("/"), environ: Mapping[str, str] = os.environ, complain: Callable[[str], None] = lambda _: None
) -> list[Device]:
    """The GPUs now that this user may open, less what the user's filters hide; `complain` is told of the others.

    Raises `DriverFailed` when the driver may not be used at all.
    """
    found: list[Device] = []
    nodes = sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("[0-9]*"), key=lambda path: int(path.name))
    if nodes and not os.access(root / "dev/kfd", os.R_OK | os.W_OK):
        raise DriverFailed("ROCm", "no permission on /dev/kfd")
    for node in nodes:
        device = _read_node(root, _properties(node / "properties"), len(found), environ, complain)
        if device is not None:
            found.append(device)
    return _visible(found, environ)


def _properties(path: Path) -> Mapping[str, int]:
    try:
        pairs = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _read_node(
    root: Path, properties: Mapping[str, int], index: int, environ: Mapping[str, str], complain: Callable[[str], None]
) -> Device | None:
    target = properties.get("gfx_target_version", 0)
    if properties.get("vendor_id") != _VENDOR or target == 0:
        return None  # a CPU, or another vendor's
    minor = properties.get("drm_render_minor", 0)
    if not os.access(root / f"dev/dri/renderD{minor}", os.R_OK | os.W_OK):
        complain(f"no permission on /dev/dri/renderD{minor}")
        return None
    card = root / f"sys/class/drm/renderD{minor}/device"
    vram, vram_used = _number(card / "mem_info_vram_total"), _number(card / "mem_info_vram_used")
    gtt, gtt_used = _number(card / "mem_info_gtt_total"), _number(card / "mem_info_gtt_used")
    if not vram and not gtt:
        complain(f"the memory of renderD{minor} cannot be read")
        return None
    integrated = is_integrated(card, vram, gtt)
    total, used = (vram + gtt, vram_used + gtt_used) if integrated else (vram, vram_used)
    unique = properties.get("unique_id", 0)
    gfx = gfx_name(overridden(target, index, environ))
    return Device(
        id=f"GPU-{unique:016x}" if unique else str(index),
        library="ROCm",
        name=f"ROCm{index}",
        description=gfx,
        total=total,
        free=max(total - used, 0),
        integrated=integrated,
        compute=(target // 10000, target // 100 % 100),
        pci_id=os.path.basename(os.path.realpath(card)),
        gfx=gfx,
    )


def overridden(target: int, index: int, environ: Mapping[str, str]) -> int:
    """The target as HSA_OVERRIDE_GFX_VERSION, or its variant for the device with this index, makes it: 10.3.0 →
    100300."""
    for variable in (f"HSA_OVERRIDE_GFX_VERSION_{index}", "HSA_OVERRIDE_GFX_VERSION"):
        parts = environ.get(variable, "").split(".")
        if len(parts) == 3 and all(part.isdigit() for part in parts):
            return int(parts[0]) * 10000 + int(parts[1]) * 100 + int(parts[2])
    return target


def kernels(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Targets that the installed rocBLAS brings code for, from the names of its files; none where it is not found."""
    return frozenset(name for folder in _kernel_folders(root, environ) for name in _targets(folder))


def _kernel_folders(root: Path, environ: Mapping[str, str]) -> Iterable[Path]:
    if override := environ.get("ROCBLAS_TENSILE_LIBPATH"):
        return [Path(override)]
    homes = [Path(environ["ROCM_PATH"])] if environ.get("ROCM_PATH") else sorted((root / "opt").glob("rocm*"))
    system = [root / "usr/lib64/rocblas/library", *sorted((root / "usr/lib").glob("*-linux-gnu/rocblas/*/library"))]
    return [*(home / "lib/rocblas/library" for home in homes), *system]


def _targets(folder: Path) -> Iterable[str]:
    names = os.listdir(folder) if folder.is_dir() else []
    return (found[0] for name in names if (found := re.search(r"gfx[0-9]+[0-9a-f]", name)))


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
