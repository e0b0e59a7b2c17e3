"""The GPU of Apple silicon: one device that shares the system's memory."""

import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from scheduler.devices import Device

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
_NAMES: Final = (
    "hw.memsize",
    "hw.optional.arm64",
    "hw.perflevel0.physicalcpu",
    "iogpu.wired_limit_mb",
    "machdep.cpu.brand_string",
)


def run_sysctl() -> str:
    """`name: value` lines for the names we know; those that the system lacks are left out."""
    try:
        done = subprocess.run(["/usr/sbin/sysctl", *_NAMES], capture_output=True, text=True, timeout=3, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def parse_sysctl(text: str) -> Mapping[str, str]:
    """The lines of sysctl(8) as a mapping."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def performance_cores(sysctl: Callable[[], str] = run_sysctl) -> int:
    """Cores that are not efficiency cores; 0 where there is but one kind."""
    count = parse_sysctl(sysctl()).get("hw.perflevel0.physicalcpu", "")
    return int(count) if count.isdigit() else 0


def read_apple(sysctl: Callable[[], str] = run_sysctl) -> list[Device]:
    """The GPU, with what Metal recommends as the most to keep resident: two thirds of the memory, three quarters from
    36 GB on, or what the administrator has set. The engine knows the exact figure; its free memory is not refreshed, as
    the system tells none."""
    values = parse_sysctl(sysctl())
    memory = values.get("hw.memsize", "")
    if values.get("hw.optional.arm64") != "1" or not memory.isdigit():
        return []
    size = int(memory)
    wired = values.get("iogpu.wired_limit_mb", "0")
    total = size * 3 // 4 if size >= 36 * _GIB else size * 2 // 3
    if wired.isdigit() and int(wired) > 0:
        total = int(wired) * _MIB
    description = values.get("machdep.cpu.brand_string", "Apple")
    return [Device("0", "Metal", "Metal", total, total, description=description, integrated=True)]
