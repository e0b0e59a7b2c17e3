"""What tools.install sees of a machine whose files lie under a folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.install import machine

CPUINFO = """processor\t: 0
model name\t: Some Xeon
flags\t\t: fpu sse4_2 avx2 avx512f amx_tile hypervisor md_clear

processor\t: 1
model name\t: Some Xeon
flags\t\t: fpu
"""


def which(**programs: str) -> Callable[[str], str | None]:
    return lambda name: programs.get(name.replace("-", "_"))


def put(root: Path, path: str, text: str = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def look(
    root: Path, *, environ: dict[str, str] | None = None, arch: str = "x86_64", **programs: str
) -> machine.Machine:
    return machine.look(root, environ or {}, which(**programs), "Linux", arch)


def test_the_processor_is_its_model_and_the_instructions_a_compiler_may_use(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", CPUINFO)
    cpu = look(tmp_path).cpu
    assert cpu.model == "Some Xeon"
    assert cpu.instructions == {"sse4_2", "avx2", "avx512f", "amx_tile"}


def test_mitigations_of_another_kernel_do_not_make_it_another_processor(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", CPUINFO)
    before = look(tmp_path).cpu.digest
    put(tmp_path, "proc/cpuinfo", CPUINFO.replace("md_clear", "md_clear tsx_new"))
    assert look(tmp_path).cpu.digest == before
    put(tmp_path, "proc/cpuinfo", CPUINFO.replace("avx512f", "avx"))
    assert look(tmp_path).cpu.digest != before


def test_an_arm_processor(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", "processor : 0\nFeatures : fp asimd i8mm\nCPU implementer : 0x41\nCPU part : 0xd40\n")
    found = look(tmp_path, arch="aarch64")
    assert found.cpu == machine.Cpu("0x41 0xd40", frozenset({"fp", "asimd", "i8mm"}))
    assert not found.x86


def test_a_system_without_cpuinfo(tmp_path: Path) -> None:
    assert look(tmp_path).cpu.instructions == frozenset()


@pytest.mark.parametrize(
    ("kind", "vendor", "gpus"),
    [
        ("0x030000", "0x10de", ("nvidia",)),
        ("0x030200", "0x10de", ("nvidia",)),
        ("0x038000", "0x1002", ("amd",)),
        ("0x120000", "0x1002", ("amd",)),
        ("0x030000", "0x1a03", ()),
        ("0x020000", "0x10de", ()),
    ],
)
def test_gpus_on_the_pci_bus(tmp_path: Path, kind: str, vendor: str, gpus: tuple[str, ...]) -> None:
    put(tmp_path, "sys/bus/pci/devices/0000:01:00.0/class", kind + "\n")
    put(tmp_path, "sys/bus/pci/devices/0000:01:00.0/vendor", vendor + "\n")
    assert look(tmp_path).gpus == gpus


@pytest.mark.parametrize(
    ("path", "gpus"),
    [
        ("dev/nvidiactl", ("nvidia",)),
        ("proc/driver/nvidia/version", ("nvidia",)),
        ("dev/kfd", ("amd",)),
        ("dev/dxg", ()),
    ],
)
def test_gpus_whose_devices_are_there_without_a_bus(tmp_path: Path, path: str, gpus: tuple[str, ...]) -> None:
    put(tmp_path, path)
    assert look(tmp_path).gpus == gpus


def test_toolkits_in_the_path(tmp_path: Path) -> None:
    found = look(tmp_path, nvcc="/usr/bin/nvcc", hipcc="/usr/bin/hipcc")
    assert found.toolkits == {"cuda": "/usr/bin/nvcc", "rocm": "/usr/bin/hipcc"}


def test_toolkits_where_their_installers_put_them(tmp_path: Path) -> None:
    put(tmp_path, "usr/local/cuda/bin/nvcc")
    put(tmp_path, "opt/rocm/bin/hipcc")
    assert look(tmp_path).toolkits == {"cuda": "/usr/local/cuda/bin/nvcc", "rocm": "/opt/rocm/bin/hipcc"}


def test_vulkan_needs_its_headers_beside_the_shader_compiler(tmp_path: Path) -> None:
    assert look(tmp_path, glslc="/usr/bin/glslc").toolkits == {}
    put(tmp_path, "usr/include/vulkan/vulkan.h")
    put(tmp_path, "usr/include/spirv/unified1/spirv.hpp")
    assert look(tmp_path, glslc="/usr/bin/glslc").toolkits == {"vulkan": "/usr/bin/glslc"}


def test_a_mac(tmp_path: Path) -> None:
    found = machine.look(tmp_path, {}, which(brew="/opt/homebrew/bin/brew"), "Darwin", "arm64")
    assert found.gpus == ("apple",)
    assert set(found.toolkits) == {"metal"}
    assert found.packages == "brew"


def test_this_machine_can_be_looked_at() -> None:
    assert machine.look().system
