"""Snapshots of the machine, and what is left out of them."""

import sys

import pytest

from scheduler.devices import Device, Host, Snapshot
from scheduler.devices.probe import Sources, SystemDevices, admit, deduplicate, engine_backends, find_sources

pytestmark = pytest.mark.anyio

GIB = 1 << 30
HOST = Host(total=32 * GIB, free=16 * GIB)


def device(name: str = "CUDA0", *, free: int = 8 * GIB, total: int = 8 * GIB, **fields: object) -> Device:
    library = name.rstrip("0123456789")
    return Device(name, library, name, total, free, **fields)  # pyright: ignore[reportArgumentType]


async def test_a_machine_without_gpus_is_read_and_nothing_is_imported_for_them() -> None:
    before = set(sys.modules)
    snapshot = await SystemDevices(Sources(backends=frozenset())).refresh()
    assert snapshot.gpus == ()
    assert snapshot.host.total > 0
    assert snapshot.platform == sys.platform
    assert "pynvml" not in set(sys.modules) - before


async def test_free_memory_is_read_anew_and_devices_that_do_not_answer_keep_theirs() -> None:
    answers = [
        [device("CUDA0"), device("CUDA1")],
        [device("CUDA1", free=1 * GIB)],
        [device("CUDA0", free=2 * GIB), device("CUDA1"), device("CUDA2")],
    ]
    devices = SystemDevices(Sources(host=lambda: HOST, gpus=lambda _: answers.pop(0), backends=frozenset({"CUDA"})))
    seen = [tuple(gpu.free // GIB for gpu in (await devices.refresh()).gpus) for _ in range(3)]
    assert seen == [(8, 8), (8, 1), (2, 8)]


async def test_a_driver_that_fails_costs_old_figures() -> None:
    fail = False

    def read(_: Host) -> list[Device]:
        if fail:
            raise RuntimeError("driver gone")
        return [device()]

    devices = SystemDevices(Sources(host=lambda: HOST, gpus=read))
    first = await devices.refresh()
    fail = True
    assert await devices.refresh() == first


async def test_a_host_that_cannot_be_read_keeps_its_figures_too() -> None:
    fail = False

    def read() -> Host:
        if fail:
            raise OSError("no /proc")
        return HOST

    devices = SystemDevices(Sources(host=read, gpus=lambda _: []))
    assert (await devices.refresh()).host == HOST
    fail = True
    assert (await devices.refresh()).host == HOST


def test_each_gpu_once_and_by_its_better_library() -> None:
    cuda = device("CUDA0", pci_id="0000:01:00.0")
    same = device("Vulkan0", pci_id="0000:01:00.0")
    other = device("Vulkan1", pci_id="0000:02:00.0")
    assert deduplicate([same, other, cuda]) == [cuda, other]


def test_without_pci_ids_name_and_size_decide() -> None:
    cuda = device("CUDA0", description="NVIDIA GeForce RTX 4090 (UUID 1)")
    same = device("Vulkan0", description="nvidia geforce rtx-4090", total=8 * GIB + (300 << 20))
    larger = device("Vulkan1", description="nvidia geforce rtx-4090", total=10 * GIB)
    assert deduplicate([cuda, same, larger]) == [cuda, larger]


def test_two_equal_cards_of_one_library_are_two() -> None:
    assert len(deduplicate([device("CUDA0"), device("CUDA1")])) == 2


def test_devices_without_memory_are_none() -> None:
    assert deduplicate([device(total=0, free=0)]) == []


@pytest.mark.parametrize(
    ("gpu", "igpu", "admitted"),
    [
        (device("CUDA0"), False, True),
        (device("CUDA0", integrated=True), None, True),
        (device("CUDA0", integrated=True), False, False),
        (device("ROCm0", integrated=True, description="gfx1151"), None, True),
        (device("ROCm0", integrated=True, description="gfx1103"), None, False),
        (device("ROCm0", integrated=True, description="gfx1103"), True, True),
        (device("Metal", integrated=True), False, True),
        (device("Vulkan0", integrated=True), None, False),
    ],
)
def test_integrated_gpus_that_are_used(gpu: Device, igpu: bool | None, admitted: bool) -> None:
    assert bool(admit([gpu], igpu)) is admitted


def test_an_engine_without_gpu_backends_has_no_gpus() -> None:
    assert find_sources(frozenset()) is None


def test_the_engine_s_backends_are_known_without_loading_it(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("lib")
    for name in ("libggml-cuda.so", "libggml-cpu.so", "ggml-vulkan.dll", "libggml-metal.dylib", "libggml-base.so.0"):
        (folder / name).touch()
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(folder))
    before = set(sys.modules)
    assert {"CUDA", "Vulkan", "Metal"} <= engine_backends()
    assert "llama_cpp" not in set(sys.modules) - before


async def test_the_log_tells_of_every_device_and_filter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "0")
    empty: list[Device] = []
    for gpus in ([device("CUDA0", description="NVIDIA H200")], empty):
        snapshot = await SystemDevices(Sources(host=lambda: HOST, gpus=lambda _, gpus=gpus: gpus)).refresh()
        assert isinstance(snapshot, Snapshot)
    logged = capsys.readouterr().out
    for text in ("inference compute", "NVIDIA H200", "user overrode visible devices", "unset and try again"):
        assert text in logged
