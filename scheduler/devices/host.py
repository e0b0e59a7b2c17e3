"""The system's own memory and cores, as far as this process may use them.

Facts come from proc(5), cgroups(7) and /sys/devices/system/cpu on Linux, from psutil elsewhere.
"""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from scheduler.devices import Host, apple

_NO_LIMIT_V1: Final = 1 << 62
"""cgroup v1 writes 'no limit' as the largest multiple of a page that a signed word holds."""


def read_host(root: Path = Path("/")) -> Host:
    """Memory and threads now. Raises `OSError` where the system does not tell."""
    if sys.platform.startswith("linux"):
        return read_linux(root, affinity=os.sched_getaffinity(0))
    return _read_elsewhere()


def _read_elsewhere() -> Host:
    import psutil  # not needed on Linux, and slow to import

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return Host(memory.total, memory.available, swap.free, _cores_elsewhere())


@cache
def _cores_elsewhere() -> int:
    import psutil

    fast = apple.performance_cores() if sys.platform == "darwin" else 0
    return fast or psutil.cpu_count(logical=False) or os.cpu_count() or 1


def read_linux(root: Path, *, affinity: Set[int]) -> Host:
    """The same from a tree that holds proc and sys; `affinity`: logical CPUs this process may run on."""
    info = _meminfo(root / "proc/meminfo")
    fallback = info.get("MemFree", 0) + info.get("Buffers", 0) + info.get("Cached", 0)
    total, free, swap = info.get("MemTotal", 0), info.get("MemAvailable", fallback), info.get("SwapFree", 0)
    groups = cgroups(root)
    for limit in (found for group in groups if (found := group.memory())):
        if limit.total < total:
            total = limit.total
        free = min(free, limit.free)
    swap = min((found for group in groups if (found := group.swap()) is not None), default=swap)
    quota = min((found for group in groups if (found := group.cores())), default=math.inf)
    threads = min(physical_cores(root, affinity) or len(affinity), quota)
    return Host(total, max(free, 0), min(swap, info.get("SwapFree", 0)), max(int(threads), 1))


def in_container(root: Path = Path("/")) -> bool:
    """Whether this process runs in a container: by the marks that Docker and Podman leave, and by its groups' names."""
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return True
    groups = _word(root / "proc/self/cgroup") + _word(root / "proc/1/cgroup")
    return any(mark in groups for mark in ("docker", "kubepods", "containerd", "libpod", "/lxc/"))


def _meminfo(path: Path) -> Mapping[str, int]:
    """Bytes by name."""
    sizes: dict[str, int] = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            sizes[name] = int(number[0]) * 1024
    return sizes


# -- cores --------------------------------------------------------------------------------------------------------


def physical_cores(root: Path, affinity: Set[int]) -> int:
    """Cores among the logical CPUs of `affinity`, counting SMT siblings once and leaving out efficiency cores; 0 when
    the topology is not told."""
    cpus = root / "sys/devices/system/cpu"
    efficient = cpu_list(_word(root / "sys/devices/cpu_atom/cpus"))
    fast: set[tuple[str, str]] = set()
    slow: set[tuple[str, str]] = set()
    capacity: dict[tuple[str, str], int] = {}
    for number in affinity:
        cpu = cpus / f"cpu{number}"
        package, core = _word(cpu / "topology/physical_package_id"), _word(cpu / "topology/core_id")
        if not package or not core:
            continue
        (slow if number in efficient else fast).add((package, core))
        speed = _word(cpu / "cpu_capacity")
        capacity[package, core] = max(capacity.get((package, core), 0), int(speed) if speed.isdigit() else 0)
    cores = fast or slow
    best = max((capacity[core] for core in cores), default=0)
    return sum(capacity[core] == best for core in cores)


def cpu_list(text: str) -> set[int]:
    """`0-3,8` as numbers."""
    numbers: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            numbers.update(range(int(first), int(last if last.isdigit() else first) + 1))
    return numbers


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


# -- cgroups ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """What a control group allows, and what is left of it: page cache that can be dropped counts as left."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One directory of a cgroup hierarchy that this process is in."""

    path: Path
    unified: bool
    """Version 2."""

    def memory(self) -> MemoryLimit | None:
        limit_file, used_file, cache_key = (
            ("memory.max", "memory.current", "inactive_file")
            if self.unified
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        limit, used = _word(self.path / limit_file), _word(self.path / used_file)
        if not limit.isdigit() or not used.isdigit() or int(limit) >= _NO_LIMIT_V1:
            return None
        cache = 0
        for line in _word(self.path / "memory.stat").splitlines():
            name, _, value = line.partition(" ")
            if name == cache_key and value.isdigit():
                cache = int(value)
        return MemoryLimit(int(limit), max(int(limit) - max(int(used) - cache, 0), 0))

    def swap(self) -> int | None:
        """Bytes of swap that the group may still use; None: no limit of its own."""
        if self.unified:
            limit, used = _word(self.path / "memory.swap.max"), _word(self.path / "memory.swap.current")
        else:  # version 1 limits memory and swap together
            limit = _word(self.path / "memory.memsw.limit_in_bytes")
            used = _word(self.path / "memory.limit_in_bytes")
        if not limit.isdigit() or not used.isdigit() or int(limit) >= _NO_LIMIT_V1:
            return None
        return max(int(limit) - int(used), 0)

    def cores(self) -> int | None:
        """CPU time per time, rounded up."""
        if self.unified:
            quota, _, period = _word(self.path / "cpu.max").partition(" ")
        else:
            quota, period = _word(self.path / "cpu.cfs_quota_us"), _word(self.path / "cpu.cfs_period_us")
        if not quota.isdigit() or not period.isdigit() or int(period) == 0 or int(quota) == 0:
            return None
        return math.ceil(int(quota) / int(period))


def cgroups(root: Path) -> list[ControlGroup]:
    """Every group whose limits hold for this process: its own and all above, of both versions."""
    mount = root / "sys/fs/cgroup"
    found: dict[ControlGroup, None] = {}
    for line in _word(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found.update(dict.fromkeys(ControlGroup(one, unified=True) for one in _upward(mount, path)))
        for controller in {"memory", "cpu"} & set(controllers.split(",")):
            for base in {mount / controller, mount / controllers}:
                found.update(dict.fromkeys(ControlGroup(one, unified=False) for one in _upward(base, path)))
    return list(found)


def _upward(mount: Path, path: str) -> Iterator[Path]:
    """The group and its parents. In a container the path may name a place outside of what is mounted: then the mount
    itself is the group."""
    group = mount.joinpath(*(part for part in path.split("/") if part not in ("", "..")))
    while True:
        if group.is_dir():
            yield group
        if group == mount:
            return
        group = group.parent
