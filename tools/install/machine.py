"""What this machine is: its processor, its GPUs, the toolkits that could build for them.

Looks at files only and starts no process, so that an installation with nothing to do stays quick.
"""

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The names in /proc/cpuinfo that stand for instructions a compiler may use; the rest (mitigations, virtualisation)
# changes with the kernel and would make a build look foreign on its own machine.
_X86_INSTRUCTIONS: Final = re.compile(
    r"(sse|ssse|avx|amx|fma|f16c|bmi|gfni|vaes|vpclmul|adx|sha|movbe|movdir|popcnt|abm|pclmul|aes)"
)
_PCI_DISPLAY: Final = "0x03"
_PCI_ACCELERATOR: Final = "0x12"
_PCI_VENDORS: Final = {"0x10de": "nvidia", "0x1002": "amd"}

Which = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Cpu:
    """`instructions` are the names as Linux spells them; empty where the system does not tell."""

    model: str
    instructions: frozenset[str]

    @property
    def digest(self) -> str:
        text = "\n".join([self.model, *sorted(self.instructions)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Machine:
    system: str
    """Linux or Darwin."""
    arch: str
    cpu: Cpu
    gpus: tuple[str, ...]
    """Vendors: nvidia, amd, apple."""
    toolkits: Mapping[str, str]
    """Accelerator (cuda, rocm, vulkan, metal) → the compiler that was found for it."""
    packages: str
    """The system's package program: apt-get, dnf, pacman, zypper, brew, or nothing."""

    @property
    def x86(self) -> bool:
        return self.arch in {"x86_64", "AMD64", "amd64"}


def look(
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
    which: Which = shutil.which,
    system: str = platform.system(),
    arch: str = platform.machine(),
) -> Machine:
    """This machine, or the one whose files lie under `root`."""
    return Machine(
        system=system,
        arch=arch,
        cpu=_cpu(root, arch),
        gpus=_gpus(root, system, arch),
        toolkits=_toolkits(root, environ, which, system, arch),
        packages=next((name for name in ("apt-get", "dnf", "pacman", "zypper", "brew") if which(name)), ""),
    )


def _cpu(root: Path, arch: str) -> Cpu:
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return Cpu(model=platform.processor() or arch, instructions=frozenset())
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    if "flags" in fields:
        names = [name for name in fields["flags"].split() if _X86_INSTRUCTIONS.match(name)]
    else:
        names = fields.get("Features", fields.get("isa", "")).split()
    parts = [fields[name] for name in ("model name", "CPU implementer", "CPU part", "uarch") if name in fields]
    return Cpu(model=" ".join(parts) or arch, instructions=frozenset(names))


def _gpus(root: Path, system: str, arch: str) -> tuple[str, ...]:
    if system == "Darwin":
        return ("apple",) if arch == "arm64" else ()
    found = {_PCI_VENDORS[vendor] for vendor in _display_vendors(root)}
    # Inside containers and on WSL the devices are there while the PCI bus is not.
    if any((root / path).exists() for path in ("proc/driver/nvidia/version", "dev/nvidiactl", "dev/nvidia0")):
        found.add("nvidia")
    if (root / "dev/dxg").exists() and (root / "usr/lib/wsl/lib/libcuda.so.1").exists():
        found.add("nvidia")
    if (root / "dev/kfd").exists():
        found.add("amd")
    return tuple(sorted(found, reverse=True))


def _display_vendors(root: Path) -> list[str]:
    vendors: list[str] = []
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            kind = (device / "class").read_text().strip()
            vendor = (device / "vendor").read_text().strip()
        except OSError:
            continue
        if kind.startswith((_PCI_DISPLAY, _PCI_ACCELERATOR)) and vendor in _PCI_VENDORS:
            vendors.append(vendor)
    return vendors


def _toolkits(root: Path, environ: Mapping[str, str], which: Which, system: str, arch: str) -> dict[str, str]:
    if system == "Darwin":
        return {"metal": "xcrun"} if arch == "arm64" else {}
    found: dict[str, str] = {}
    homes = [Path(environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)]
    nvccs = [_program(root, home / "bin/nvcc") for home in [*homes, Path("/usr/local/cuda")]]
    if nvcc := next(filter(None, [environ.get("CUDACXX"), which("nvcc"), *nvccs]), None):
        found["cuda"] = nvcc
    rocm = Path(environ.get("ROCM_PATH") or "/opt/rocm")
    if hipcc := which("hipcc") or _program(root, rocm / "bin/hipcc"):
        found["rocm"] = hipcc
    glslc = which("glslc")
    # The shader compiler alone is not enough: the build needs both sets of headers.
    if glslc and all(_header(root, environ, name) for name in ("vulkan/vulkan.h", "spirv/unified1/spirv.hpp")):
        found["vulkan"] = glslc
    return found


def _program(root: Path, path: Path) -> str | None:
    return str(path) if (root / path.relative_to("/")).exists() else None


def _header(root: Path, environ: Mapping[str, str], name: str) -> bool:
    folders = [root / "usr/include", root / "usr/local/include"]
    if sdk := environ.get("VULKAN_SDK"):
        folders.append(Path(sdk) / "include")
    return any((folder / name).exists() for folder in folders)
