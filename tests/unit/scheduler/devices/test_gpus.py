"""What each driver's answers mean."""

from pathlib import Path
from typing import Any

import pytest

from scheduler.devices import Device, Host, amd, apple, nvidia
from scheduler.devices.errors import DriverFailed
from tests.unit.scheduler.devices.fixtures.machines import GPU_IS_LOST, UNKNOWN, FakeNvml

GIB = 1 << 30
HOST = Host(total=32 * GIB, free=20 * GIB)


H100 = {
    "name": "NVIDIA H100",
    "uuid": "GPU-aaaa-1",
    "mib": (80 * 1024, 79 * 1024),
    "compute": (9, 0),
    "pci": "00000000:C1:00.0",
}
OLD = {"name": "Tesla M2090", "uuid": "GPU-bbbb-2", "mib": (6 * 1024, 6 * 1024), "compute": (2, 0)}
SPARK = {"name": "NVIDIA GB10", "uuid": "GPU-cccc-3", "compute": (12, 1), "pci": b"0000000F:01:00.0"}


def read(*cards: dict[str, Any], visible: str | None = None) -> list[Device]:
    return nvidia.read_nvidia(FakeNvml(*cards), visible, HOST, lambda _: None)


def test_an_nvidia_gpu() -> None:
    (device,) = read(H100)
    assert device == Device(
        id="GPU-aaaa-1",
        library="CUDA",
        name="CUDA0",
        total=80 * GIB,
        free=79 * GIB,
        description="NVIDIA H100",
        compute=(9, 0),
        driver=(550, 54),
        pci_id="0000:c1:00.0",
    )


def test_one_that_is_too_old_is_left_out() -> None:
    assert [one.id for one in read(OLD, H100)] == ["GPU-aaaa-1"]


def test_one_on_the_system_s_memory_is_integrated() -> None:
    (device,) = read(SPARK)
    assert (device.integrated, device.total, device.free) == (True, HOST.total, HOST.free)
    assert device.pci_id == "000f:01:00.0"


def test_parts_of_a_partitioned_gpu_are_devices() -> None:
    parts = [{**H100, "uuid": f"MIG-{i}", "mib": (10 * 1024, 9 * 1024)} for i in range(2)]
    assert [one.id for one in read({**H100, "parts": parts})] == ["MIG-0", "MIG-1"]
    assert [one.id for one in read({**H100, "parts": []})] == ["GPU-aaaa-1"]


def test_a_driver_that_does_not_answer_says_why() -> None:
    nvml = FakeNvml(H100)
    nvml.error = UNKNOWN
    with pytest.raises(DriverFailed, match="NVML: Unknown Error"):
        nvidia.read_nvidia(nvml, None, HOST, lambda _: None)


def test_a_lost_gpu_is_left_out_and_is_not_taken_for_one_without_memory_of_its_own() -> None:
    complaints: list[str] = []
    lost = {**H100, "error": GPU_IS_LOST}
    found = nvidia.read_nvidia(FakeNvml(lost, {**H100, "uuid": "GPU-2"}), None, HOST, complaints.append)
    assert [one.id for one in found] == ["GPU-2"]
    assert complaints == ["NVML, GPU 0: GPU is lost"]


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        (None, ["GPU-aaaa-1", "GPU-aaab-2"]),
        ("1,0", ["GPU-aaab-2", "GPU-aaaa-1"]),
        ("0,7,1", ["GPU-aaaa-1"]),
        ("-1", []),
        ("", []),
        ("GPU-aaab", ["GPU-aaab-2"]),
        ("GPU-aaa", []),
        ("0,0", ["GPU-aaaa-1"]),
        (" 1 ", ["GPU-aaab-2"]),
    ],
)
def test_the_user_s_filter(visible: str | None, ids: list[str]) -> None:
    assert [one.id for one in read(H100, {**H100, "uuid": "GPU-aaab-2"}, visible=visible)] == ids


def test_no_driver_no_library(tmp_path: Path) -> None:
    assert not nvidia.driver_present(tmp_path)
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").touch()
    assert nvidia.driver_present(tmp_path)


# -- AMD ----------------------------------------------------------------------------------------------------------


def amd_tree(
    root: Path, *nodes: dict[str, int], vram: tuple[int, int] = (16, 4), gtt: tuple[int, int] = (8, 1)
) -> Path:
    """Nodes as the driver lists them; memory in GiB (total, used), the same for all."""
    (root / "dev/dri").mkdir(parents=True)
    (root / "dev/kfd").touch()
    for i, node in enumerate(nodes):
        folder = root / f"sys/class/kfd/kfd/topology/nodes/{i}"
        folder.mkdir(parents=True)
        (folder / "properties").write_text("".join(f"{name} {value}\n" for name, value in node.items()))
        minor = node.get("drm_render_minor", 0)
        card = root / f"sys/devices/pci/0000:0{i}:00.0"
        card.mkdir(parents=True)
        (root / f"sys/class/drm/renderD{minor}").mkdir(parents=True)
        (root / f"sys/class/drm/renderD{minor}/device").symlink_to(card)
        for name, (total, used) in {"vram": vram, "gtt": gtt}.items():
            (card / f"mem_info_{name}_total").write_text(f"{total * GIB}\n")
            (card / f"mem_info_{name}_used").write_text(f"{used * GIB}\n")
        if minor:
            (root / f"dev/dri/renderD{minor}").touch()
    return root


CPU = {"vendor_id": 4098, "gfx_target_version": 0}
MI300 = {"vendor_id": 4098, "gfx_target_version": 90402, "drm_render_minor": 128, "unique_id": 0xABC}
RX = {"vendor_id": 4098, "gfx_target_version": 110000, "drm_render_minor": 129, "unique_id": 0}


def test_amd_gpus(tmp_path: Path) -> None:
    first, second = amd.read_amd(amd_tree(tmp_path, CPU, MI300, RX), {})
    assert (first.gfx, second.gfx) == ("gfx942", "gfx1100")
    assert (first.id, first.name, first.description) == ("GPU-0000000000000abc", "ROCm0", "gfx942")
    assert (first.total, first.free, first.integrated, first.pci_id) == (16 * GIB, 12 * GIB, False, "0000:01:00.0")
    assert (second.id, second.description) == ("1", "gfx1100")


def test_an_apu_lives_on_the_system_s_memory(tmp_path: Path) -> None:
    (device,) = amd.read_amd(amd_tree(tmp_path, {**RX, "gfx_target_version": 110501}, vram=(1, 0), gtt=(48, 8)), {})
    assert (device.integrated, device.total, device.free) == (True, 49 * GIB, 41 * GIB)
    assert device.description == "gfx1151"


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"ROCR_VISIBLE_DEVICES": "1"}, ["gfx1100"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-0000000000000abc"}, ["gfx942"]),
        ({"ROCR_VISIBLE_DEVICES": "1,0", "HIP_VISIBLE_DEVICES": "0"}, ["gfx1100"]),
        ({"HIP_VISIBLE_DEVICES": "9"}, []),
        ({"HIP_VISIBLE_DEVICES": ""}, ["gfx942", "gfx1100"]),
    ],
)
def test_filters_apply_one_after_the_other(tmp_path: Path, environ: dict[str, str], names: list[str]) -> None:
    assert [one.description for one in amd.read_amd(amd_tree(tmp_path, MI300, RX), environ)] == names


def test_a_gpu_that_may_not_be_opened_is_left_out(tmp_path: Path) -> None:
    root = amd_tree(tmp_path, MI300, RX)
    (root / "dev/dri/renderD128").unlink()
    complaints: list[str] = []
    assert [one.description for one in amd.read_amd(root, {}, complaints.append)] == ["gfx1100"]
    assert complaints == ["no permission on /dev/dri/renderD128"]
    (root / "dev/kfd").unlink()
    with pytest.raises(DriverFailed, match="no permission on /dev/kfd"):
        amd.read_amd(root, {})
    assert amd.read_amd(tmp_path / "elsewhere", {}) == []
    assert amd.driver_present(root)


def test_a_gpu_whose_memory_cannot_be_read_is_gone(tmp_path: Path) -> None:
    root = amd_tree(tmp_path, MI300, vram=(0, 0), gtt=(0, 0))
    assert amd.read_amd(root, {}) == []


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, ["gfx942", "gfx1100"]),
        ({"HSA_OVERRIDE_GFX_VERSION": "10.3.0"}, ["gfx1030", "gfx1030"]),
        ({"HSA_OVERRIDE_GFX_VERSION": "10.3.0", "HSA_OVERRIDE_GFX_VERSION_1": "11.0.2"}, ["gfx1030", "gfx1102"]),
        ({"HSA_OVERRIDE_GFX_VERSION": "ten"}, ["gfx942", "gfx1100"]),
    ],
)
def test_a_target_may_be_overridden(tmp_path: Path, environ: dict[str, str], names: list[str]) -> None:
    assert [one.gfx for one in amd.read_amd(amd_tree(tmp_path, MI300, RX), environ)] == names


def test_targets_that_the_library_has_code_for(tmp_path: Path) -> None:
    for name in ("TensileLibrary_lazy_gfx1030.dat", "Kernels.so-000-gfx90a.hsaco", "TensileManifest.txt"):
        for folder in ("opt/rocm/lib/rocblas/library", "elsewhere"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).touch()
    assert amd.kernels(tmp_path, {}) == {"gfx1030", "gfx90a"}
    assert amd.kernels(tmp_path / "nothing", {"ROCBLAS_TENSILE_LIBPATH": str(tmp_path / "elsewhere")})
    assert amd.kernels(tmp_path / "nothing", {}) == frozenset()


@pytest.mark.parametrize(("target", "name"), [(90402, "gfx942"), (90010, "gfx90a"), (100302, "gfx1032")])
def test_names_of_targets(target: int, name: str) -> None:
    assert amd.gfx_name(target) == name


# -- Apple --------------------------------------------------------------------------------------------------------

MAC = """hw.memsize: {memory}
hw.optional.arm64: {arm}
iogpu.wired_limit_mb: {limit}
machdep.cpu.brand_string: Apple M3 Max
"""


@pytest.mark.parametrize(
    ("memory", "limit", "total"),
    [(24 * GIB, 0, 16 * GIB), (64 * GIB, 0, 48 * GIB), (64 * GIB, 57344, 56 * GIB)],
)
def test_apple_silicon(memory: int, limit: int, total: int) -> None:
    (device,) = apple.read_apple(lambda: MAC.format(memory=memory, arm=1, limit=limit))
    assert (device.library, device.integrated, device.total, device.free) == ("Metal", True, total, total)
    assert device.description == "Apple M3 Max"


def test_efficiency_cores_of_apple_do_not_count() -> None:
    assert apple.performance_cores(lambda: "hw.perflevel0.physicalcpu: 8\n") == 8
    assert apple.performance_cores(lambda: "") == 0


def test_an_intel_mac_and_an_answer_that_is_none() -> None:
    assert apple.read_apple(lambda: MAC.format(memory=GIB, arm=0, limit=0)) == []
    assert apple.read_apple(lambda: "") == []
