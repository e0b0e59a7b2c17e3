"""Memory and cores of the host, from recorded trees."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.devices.host import cgroups, cpu_list, in_container, physical_cores, read_host, read_linux

KIB = 1024
MEMINFO = """MemTotal:       16000 kB
MemFree:         1000 kB
MemAvailable:    9000 kB
Buffers:          100 kB
Cached:           200 kB
SwapTotal:       5000 kB
SwapFree:        4000 kB
HugePages_Total:    0
"""


def cpus(count: int) -> frozenset[int]:
    return frozenset(range(count))


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for path, text in {"proc/meminfo": MEMINFO, **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def cores(layout: list[tuple[int, int]], **more: str) -> dict[str, str]:
    """Topology files for logical CPUs, each on (package, core)."""
    files = dict(more)
    for i, (package, core) in enumerate(layout):
        base = f"sys/devices/system/cpu/cpu{i}/topology"
        files |= {f"{base}/physical_package_id": f"{package}\n", f"{base}/core_id": f"{core}\n"}
    return files


def test_meminfo(tmp_path: Path) -> None:
    host = read_linux(tree(tmp_path, {}), affinity=cpus(4))
    assert (host.total, host.free, host.swap_free, host.threads) == (16000 * KIB, 9000 * KIB, 4000 * KIB, 4)


def test_kernels_that_do_not_tell_what_is_available(tmp_path: Path) -> None:
    old = "\n".join(line for line in MEMINFO.splitlines() if not line.startswith("MemAvailable"))
    assert read_linux(tree(tmp_path, {"proc/meminfo": old}), affinity=cpus(1)).free == 1300 * KIB


def test_threads_are_physical_cores_within_affinity(tmp_path: Path) -> None:
    root = tree(tmp_path, cores([(0, 0), (0, 1), (0, 0), (0, 1), (1, 0), (1, 0)]))
    assert physical_cores(root, cpus(6)) == 3
    assert read_linux(root, affinity=cpus(6)).threads == 3
    assert read_linux(root, affinity=cpus(2)).threads == 2
    assert read_linux(root, affinity=frozenset({0, 2, 3})).threads == 2, "0 and 2 are one core"


def test_efficiency_cores_do_not_count(tmp_path: Path) -> None:
    layout = [(0, 0), (0, 0), (0, 4), (0, 4), (0, 8), (0, 9)]
    hybrid = tree(tmp_path / "intel", cores(layout, **{"sys/devices/cpu_atom/cpus": "4-5\n"}))
    assert physical_cores(hybrid, cpus(6)) == 2
    assert physical_cores(hybrid, frozenset({4, 5})) == 2, "there is nothing else"
    slow = {f"sys/devices/system/cpu/cpu{i}/cpu_capacity": "446" for i in (2, 3)}
    fast = {f"sys/devices/system/cpu/cpu{i}/cpu_capacity": "1024" for i in (0, 1)}
    arm = tree(tmp_path / "arm", cores([(0, 0), (0, 1), (0, 2), (0, 3)], **slow, **fast))
    assert physical_cores(arm, cpus(4)) == 2


V2 = {
    "proc/self/cgroup": "0::/box/inner\n",
    "sys/fs/cgroup/box/memory.max": "8192000\n",
    "sys/fs/cgroup/box/memory.current": "3000000\n",
    "sys/fs/cgroup/box/memory.stat": "anon 5\ninactive_file 1000000\n",
    "sys/fs/cgroup/box/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/box/inner/memory.max": "max\n",
    "sys/fs/cgroup/box/inner/memory.current": "1\n",
    "sys/fs/cgroup/box/inner/cpu.max": "max 100000\n",
}


def test_limits_of_a_parent_group_hold_and_droppable_cache_is_free(tmp_path: Path) -> None:
    host = read_linux(tree(tmp_path, V2), affinity=cpus(8))
    assert (host.total, host.free, host.threads) == (8192000, 8192000 - 2000000, 2)


def test_a_limit_beyond_the_machine_changes_nothing(tmp_path: Path) -> None:
    wide = {**V2, "sys/fs/cgroup/box/memory.max": str(1 << 50)}
    host = read_linux(tree(tmp_path, wide), affinity=cpus(1))
    assert (host.total, host.free) == (16000 * KIB, 9000 * KIB)


def test_version_one(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/job\n2:cpu,cpuacct:/job\n1:name=systemd:/\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000000",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "4000000",
        "sys/fs/cgroup/memory/job/memory.stat": "cache 1\ntotal_inactive_file 500000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "4000000",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "300000",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    host = read_linux(tree(tmp_path, files), affinity=cpus(8))
    assert (host.total, host.free, host.threads) == (5000000, 1500000, 3)


@pytest.mark.parametrize(
    ("files", "swap"),
    [
        ({}, 4000 * KIB),
        ({"memory.swap.max": "0", "memory.swap.current": "0"}, 0),
        ({"memory.swap.max": "3000", "memory.swap.current": "1000"}, 2000),
        ({"memory.swap.max": "max", "memory.swap.current": "5"}, 4000 * KIB),
        ({"memory.swap.max": str(1 << 50), "memory.swap.current": "5"}, 4000 * KIB),
    ],
)
def test_swap_within_the_limit_of_the_group(tmp_path: Path, files: dict[str, str], swap: int) -> None:
    group = {f"sys/fs/cgroup/box/{name}": text for name, text in files.items()}
    root = tree(tmp_path, {"proc/self/cgroup": "0::/box\n", **group, "sys/fs/cgroup/box/x": ""})
    assert read_linux(root, affinity=cpus(1)).swap_free == swap


def test_version_one_limits_memory_and_swap_together(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/job\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000000",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "1000000",
        "sys/fs/cgroup/memory/job/memory.memsw.limit_in_bytes": "5500000",
    }
    assert read_linux(tree(tmp_path, files), affinity=cpus(1)).swap_free == 500000


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, False),
        ({".dockerenv": ""}, True),
        ({"run/.containerenv": ""}, True),
        ({"proc/self/cgroup": "0::/user.slice/user-1000.slice\n"}, False),
        ({"proc/self/cgroup": "4:memory:/kubepods/burstable/pod1\n"}, True),
        ({"proc/self/cgroup": "0::/\n", "proc/1/cgroup": "0::/system.slice/docker-1.scope\n"}, True),
    ],
)
def test_marks_of_a_container(tmp_path: Path, files: dict[str, str], told: bool) -> None:
    assert in_container(tree(tmp_path, files)) is told


@given(st.sets(st.integers(0, 300)))
def test_a_list_of_cpus_is_read_in_any_form(numbers: set[int]) -> None:
    assert cpu_list(",".join(map(str, sorted(numbers)))) == numbers
    assert cpu_list("0-3,8,10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    assert cpu_list("nonsense,-,5-x") == {5}


def test_a_container_sees_its_group_at_the_mount(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/../../docker/abc\n",
        "sys/fs/cgroup/memory.max": "4096000\n",
        "sys/fs/cgroup/memory.current": "96000\n",
    }
    root = tree(tmp_path, files)
    assert [group.path for group in cgroups(root)] == [root / "sys/fs/cgroup"]
    assert read_linux(root, affinity=cpus(1)).free == 4000000


@pytest.mark.parametrize("text", ["", "nonsense", "0:", "x:y:z:/", "4:memory"])
def test_an_odd_cgroup_file_is_no_error(tmp_path: Path, text: str) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": text})
    assert read_linux(root, affinity=cpus(3)).threads == 3


def test_this_machine() -> None:
    host = read_host()
    assert 0 < host.free <= host.total
    assert 1 <= host.threads <= (os.cpu_count() or 1)
