"""Snapshots over time: what costs old figures, and what when a GPU is gone."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from scheduler.devices import Device, Host
from scheduler.devices.choice import Wishes
from scheduler.devices.drivers import Drivers
from scheduler.devices.engine import Listing
from scheduler.devices.errors import ProbeFailed
from scheduler.devices.probe import Sources, SystemDevices
from tests.unit.scheduler.devices.fixtures.machines import GPU_IS_LOST, UNKNOWN, Machine, machine

pytestmark = pytest.mark.anyio

GIB = 1 << 30
HOST = Host(total=32 * GIB, free=16 * GIB)
UNKNOWN_ERROR = "ggml_cuda_init: failed to initialize CUDA: unknown error"


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def started(one: Machine, wishes: Wishes | None = None, now: Callable[[], float] = lambda: 0.0) -> SystemDevices:
    devices = SystemDevices(wishes, one.sources(now))
    await devices.refresh()
    return devices


async def ids(devices: SystemDevices) -> list[str]:
    return [gpu.id for gpu in (await devices.refresh()).gpus]


# -- without GPUs -------------------------------------------------------------------------------------------------


async def test_a_build_without_gpu_backends_asks_nobody_and_imports_nothing() -> None:
    before = set(sys.modules)

    async def ask(extra: Mapping[str, str], limit: float) -> Listing:
        raise AssertionError("nobody is to be asked")

    devices = SystemDevices(sources=Sources(backends=lambda: frozenset(), ask_engine=ask))
    devices.suspect("CUDA error: unknown error")
    await devices.refresh()
    snapshot = await devices.refresh()
    assert (snapshot.gpus, snapshot.platform, snapshot.trouble) == ((), sys.platform, "")
    assert snapshot.host.total > 0
    assert "pynvml" not in set(sys.modules) - before


async def test_a_host_that_cannot_be_read_keeps_its_figures() -> None:
    fail = False

    def read() -> Host:
        if fail:
            raise OSError("no /proc")
        return HOST

    devices = SystemDevices(sources=Sources(host=read, backends=lambda: frozenset()))
    assert (await devices.refresh()).host == HOST
    fail = True
    assert (await devices.refresh()).host == HOST


async def test_the_cpu_may_be_chosen_and_then_no_gpu_is_touched(tmp_path: Path) -> None:
    one = machine("server_two_gpus", tmp_path)
    devices = await started(one, Wishes(library="cpu"))
    assert await ids(devices) == []
    assert one.engine.asked == []


async def test_a_library_may_be_chosen_and_the_engine_is_kept_from_the_others(tmp_path: Path) -> None:
    one = machine("desktop_one_gpu", tmp_path)
    vulkan = await (await started(one, Wishes(library="vulkan"))).refresh()
    assert [(gpu.library, gpu.id) for gpu in vulkan.gpus] == [("Vulkan", "1")]
    assert vulkan.gpus[0].free == 23900 << 20, "as NVML says of the same card"
    assert all(extra["CUDA_VISIBLE_DEVICES"] == "-1" for extra in one.engine.asked)


async def test_without_vulkan_its_devices_are_not_looked_for(tmp_path: Path) -> None:
    one = machine("laptop_hybrid", tmp_path)
    assert await ids(await started(one, Wishes(vulkan=False))) == []
    assert [extra.get("GGML_VK_VISIBLE_DEVICES") for extra in one.engine.asked] == ["-1"]


@pytest.mark.parametrize(("igpu", "found"), [(None, 0), (True, 1), (False, 0)])
async def test_an_integrated_gpu_is_used_on_request(igpu: bool | None, found: int, tmp_path: Path) -> None:
    one = machine("laptop_integrated", tmp_path)
    assert len(await ids(await started(one, Wishes(igpu=igpu)))) == found


async def test_a_gpu_that_the_build_has_no_code_for_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = machine("desktop_one_gpu", tmp_path)
    one.engine.devices[0]["archs"] = "890,900"
    assert [gpu.library for gpu in (await (await started(one)).refresh()).gpus] == ["Vulkan"]
    assert "compute capability not in compiled architectures" in capsys.readouterr().out


async def test_an_engine_that_cannot_be_asked_is_said_and_leaves_the_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = machine("server_two_gpus", tmp_path)

    async def ask(extra: Mapping[str, str], limit: float) -> Listing:
        raise ProbeFailed("signal: segmentation fault")

    one.engine = ask  # pyright: ignore[reportAttributeAccessIssue]  # a protocol of one call
    snapshot = await (await started(one)).refresh()
    assert (snapshot.gpus, snapshot.trouble) == ((), "signal: segmentation fault")
    assert "no GPU can be used" in capsys.readouterr().out


# -- what is free -------------------------------------------------------------------------------------------------


async def test_a_driver_that_fails_or_hangs_costs_old_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = machine("server_two_gpus", tmp_path)
    sources = one.sources()
    opened = sources.open_drivers()
    fail = False

    def reader(host: Host, complain: Callable[[str], None]) -> list[Device]:
        if fail:
            raise TimeoutError
        return list(opened.read(host).devices)

    drivers = Drivers([reader])
    devices = SystemDevices(
        sources=Sources(
            host=sources.host, open_drivers=lambda: drivers, ask_engine=one.engine, backends=sources.backends
        )
    )
    first = await devices.refresh()
    fail = True
    assert await devices.refresh() == first
    assert "unable to refresh free memory, using old values" in capsys.readouterr().out


async def test_a_probe_that_fails_later_costs_old_figures_too(tmp_path: Path) -> None:
    one = machine("laptop_hybrid", tmp_path)
    fail = False

    async def ask(extra: Mapping[str, str], limit: float) -> Listing:
        if fail:
            raise ProbeFailed("no answer")
        return await one.engine(extra, limit)

    sources = one.sources()
    devices = SystemDevices(sources=Sources(sources.host, sources.open_drivers, ask, sources.backends))
    first = await devices.refresh()
    fail = True
    assert await devices.refresh() == first


# -- GPUs that go and come ----------------------------------------------------------------------------------------


async def test_after_suspend_the_gpu_is_gone_the_log_knows_the_remedy_and_it_is_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """NVML is well, CUDA answers 'unknown error': only the engine tells."""
    one, clock = machine("desktop_one_gpu", tmp_path), Clock()
    one.engine.devices = [device for device in one.engine.devices if device["library"] == "CUDA"]
    devices = await started(one, now=clock)
    working, one.engine.devices, one.engine.complaint = one.engine.devices, [], UNKNOWN_ERROR
    assert len(await ids(devices)) == 1, "nobody has noticed yet"
    devices.suspect("CUDA error: unspecified launch failure")
    gone = await devices.refresh()
    assert gone.gpus == ()
    assert "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm" in gone.trouble
    logged = capsys.readouterr().out
    assert "a GPU is lost" in logged
    assert "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm" in logged
    assert "no GPU is left: models are loaded on the CPU" in logged

    one.engine.devices, one.engine.complaint = working, ""
    asked = len(one.engine.asked)
    assert (await devices.refresh()).trouble == gone.trouble, "it is not looked for all the time"
    assert len(one.engine.asked) == asked
    clock.seconds = 30.0
    back = await devices.refresh()
    assert (len(back.gpus), back.trouble) == (1, "")
    assert "a GPU is back" in capsys.readouterr().out


async def test_a_container_that_loses_its_gpus_is_told_how_to_keep_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = machine("server_two_gpus", tmp_path)
    (tmp_path / ".dockerenv").touch()
    devices = await started(one, Wishes(require=True))
    assert one.nvml is not None
    one.nvml.error = UNKNOWN
    one.engine.devices, one.engine.complaint = [], "failed to initialize CUDA: no CUDA-capable device is detected"
    gone = await devices.refresh()
    assert gone.gpus == ()
    assert "NVML: Unknown Error" in gone.trouble
    assert "native.cgroupdriver=cgroupfs" in gone.trouble
    assert "no GPU is left: models are refused, as LLAMAD_REQUIRE_GPU is set" in capsys.readouterr().out


async def test_one_lost_gpu_of_eight_leaves_seven(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = machine("server_eight_gpus", tmp_path)
    assert one.nvml is not None
    devices = await started(one)
    one.nvml.cards[3]["error"] = GPU_IS_LOST
    del one.engine.devices[3]
    seen = await devices.refresh()
    assert len(seen.gpus) == 7
    assert all(not gpu.integrated for gpu in seen.gpus)
    assert "NVML, GPU 3: GPU is lost" in seen.trouble
    logged = capsys.readouterr().out
    assert logged.count("a GPU is lost") == 1
    assert "no GPU is left" not in logged


async def test_a_gpu_that_only_its_driver_misses_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = machine("server_two_gpus", tmp_path)
    assert one.nvml is not None
    devices = await started(one)
    one.nvml.error = UNKNOWN
    seen = await devices.refresh()
    assert [gpu.name for gpu in seen.gpus] == ["CUDA0", "CUDA1"]
    assert [gpu.free for gpu in seen.gpus] == [47458549760] * 2, "as the engine says"
    assert "no GPU is left" not in capsys.readouterr().out


async def test_a_suspicion_that_is_wrong_is_logged_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = machine("server_two_gpus", tmp_path)
    devices = await started(one)
    before = await devices.refresh()
    devices.suspect("CUDA error: an illegal memory access was encountered")
    assert await devices.refresh() == before
    assert "a GPU failed, but none is lost" in capsys.readouterr().out
    asked = len(one.engine.asked)
    await devices.refresh()
    assert len(one.engine.asked) == asked, "a suspicion is looked into once"


async def test_the_driver_is_opened_anew_for_another_look(tmp_path: Path) -> None:
    one = machine("server_two_gpus", tmp_path)
    assert one.nvml is not None
    devices = await started(one)
    for _ in range(3):
        devices.suspect("CUDA error")
        await devices.refresh()
    assert one.nvml.opened == 1


async def test_an_amd_gpu_that_leaves_sysfs_is_gone(tmp_path: Path) -> None:
    one = machine("server_amd", tmp_path)
    devices = await started(one)
    (tmp_path / "sys/devices/pci/0000:05:00.0/mem_info_vram_total").unlink()
    one.engine.devices = []
    seen = await devices.refresh()
    assert seen.gpus == ()
    assert "memory of renderD128 cannot be read" in seen.trouble


# -- the log ------------------------------------------------------------------------------------------------------


async def test_the_log_tells_of_every_device_and_filter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await started(machine("server_mixed_gpus", tmp_path))
    logged = capsys.readouterr().out
    assert logged.count("inference compute") == 3
    for text in (
        "user overrode visible devices",
        "CUDA_VISIBLE_DEVICES=1,GPU-bf507abe,0,9,3",
        "filter_id=GPU-f15ae561-21b1-6003-c768-861fc285203b",
        "total='22.5 GiB'",
        "driver=570.133",
        "pci_id=0000:b1:00.0",
        "type=discrete",
    ):
        assert text in logged


async def test_a_filter_that_leaves_nothing_is_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = machine("container_without_gpus", tmp_path)
    one.environ = {"HSA_OVERRIDE_GFX_VERSION_0": "10.3.0", "CUDA_VISIBLE_DEVICES": ""}
    await started(one)
    logged = capsys.readouterr().out
    assert "HSA_OVERRIDE_GFX_VERSION_0=10.3.0" in logged
    assert "unset and try again" in logged
    assert "library=cpu" in logged
