"""Batch, flash attention, cache type, mapping, visible devices."""

import pytest

from scheduler.devices import Device, Host, Snapshot
from scheduler.launch import (
    automatic_batch,
    flash_attention,
    memory_map,
    physical_batch,
    surcharge,
    visible_devices,
)
from tests.unit.scheduler.fakes import GB, cuda

GIB, MIB = 1 << 30, 1 << 20


@pytest.mark.parametrize(
    ("context", "predicted", "free", "batch"),
    [
        (4096, 0, 0, 512),
        (32768, 0, 0, 1024),
        (131072, 8 * GIB, 14 * GIB, 2048),
        (131072, 9 * GIB, 14 * GIB, 1024),
        (131072, 8 * GIB, 11 * GIB, 1024),
        (32768, 8500 * MIB, 11 * GIB, 512),
    ],
)
def test_the_automatic_batch(context: int, predicted: int, free: int, batch: int) -> None:
    assert automatic_batch(context, predicted=predicted, free=free) == batch


@pytest.mark.parametrize(("size", "context", "batch"), [(14, 131072, 512), (6, 131072, 256), (6, 4096, 512)])
def test_the_batch_on_cuda_without_flash_attention(size: int, context: int, batch: int) -> None:
    assert automatic_batch(context, flash_attention=False, gpus=[cuda(size * GIB)]) == batch


def test_larger_batches_take_more() -> None:
    assert [surcharge(batch) for batch in (256, 512, 1024, 2048, 4096)] == [0, 0, 768 * MIB, 2 * GIB, 2 * GIB]


@pytest.mark.parametrize(
    ("wanted", "compute", "driver", "result"),
    [
        (None, (5, 0), (0, 0), False),
        (None, (7, 2), (0, 0), False),
        (None, (7, 5), (0, 0), None),
        (None, (8, 0), (6, 0), False),
        (None, (8, 0), (550, 54), None),
        (True, (5, 0), (0, 0), True),
        (False, (8, 0), (550, 0), False),
    ],
)
def test_flash_attention(
    wanted: bool | None, compute: tuple[int, int], driver: tuple[int, int], result: bool | None
) -> None:
    assert flash_attention(wanted, [cuda(GB, compute=compute, driver=driver)]) is result


def test_flash_attention_on_the_processor_and_elsewhere() -> None:
    assert flash_attention(None, []) is False
    assert flash_attention(None, [], kv_type="q8_0") is None
    assert flash_attention(None, [], embedding=True) is None
    assert flash_attention(True, []) is True
    assert flash_attention(None, [Device("0", "Metal", "Metal", 1, 1)]) is None


def mapped(*gpus: Device, platform: str = "linux", host: Host | None = None, **changes: object) -> bool | None:
    state: dict[str, object] = {
        "wanted": None,
        "num_gpu": -1,
        "blocks": 80,
        "predicted": 30 * GB,
        "free": 80 * GB,
        "file": 20 * GB,
        "mapped": 25 * GB,
    }
    snapshot = Snapshot(host or Host(total=100 * GB, free=50 * GB), gpus, platform)
    return memory_map(snapshot, gpus, **(state | changes))  # pyright: ignore[reportArgumentType]


def test_on_the_host_the_engine_maps() -> None:
    assert mapped() is None
    assert mapped(cuda(80 * GB), num_gpu=0) is None
    assert mapped(wanted=False) is False


def test_a_host_under_pressure_does_not_map_what_lies_on_the_gpu() -> None:
    assert mapped(cuda(80 * GB)) is False
    assert mapped(cuda(80 * GB), predicted=70 * GB) is None
    assert mapped(cuda(80 * GB), platform="darwin") is None
    assert mapped(cuda(80 * GB, integrated=True)) is None
    assert mapped(cuda(80 * GB), mapped=0) is None


def test_what_was_asked_for_is_done() -> None:
    assert mapped(cuda(80 * GB), wanted=True) is True
    assert mapped(cuda(80 * GB), wanted=True, platform="win32") is True
    assert mapped(wanted=True) is True


def test_windows_and_metal() -> None:
    metal = Device("0", "Metal", "Metal", 32 * GB, 32 * GB, integrated=True)
    assert mapped(cuda(80 * GB), platform="win32") is False
    assert mapped(metal, platform="darwin", num_gpu=10) is False
    assert mapped(metal, platform="darwin", predicted=90 * GB) is False
    assert mapped(metal, platform="darwin") is None


def test_visible_devices_of_each_library() -> None:
    two = Device("GPU-a", "ROCm", "ROCm0", 1, 1), Device("1", "ROCm", "ROCm1", 1, 1)
    assert visible_devices(two) == {
        "ROCR_VISIBLE_DEVICES": "GPU-a,1",
        "HIP_VISIBLE_DEVICES": "0,1",
        "GPU_DEVICE_ORDINAL": "0,1",
        "CUDA_VISIBLE_DEVICES": "0,1",
    }
    assert visible_devices((Device("0", "Metal", "Metal", 1, 1),)) == {}
    assert visible_devices((Device("2", "Vulkan", "Vulkan2", 1, 1),)) == {"GGML_VK_VISIBLE_DEVICES": "2"}
    assert set(visible_devices(()).values()) == {"-1"}


@pytest.mark.parametrize(
    ("batch", "context", "heads", "flash", "host", "rows"),
    [
        (512, 4096, 32, False, False, 512),
        (2048, 32768, 32, False, False, 128),
        (512, 262144, 64, False, False, 64),
        (2048, 32768, 32, None, False, 2048),
        (512, 0, 0, False, False, 512),
        (512, 4096, 32, False, True, 128),
        (512, 4096, 32, True, True, 128),
        (64, 4096, 32, False, True, 64),
        (512, 262144, 64, False, True, 64),
    ],
)
def test_few_tokens_are_computed_together_on_the_processor_and_without_flash_attention(
    batch: int, context: int, heads: int, flash: bool | None, host: bool, rows: int
) -> None:
    assert physical_batch(batch, context, heads, flash, host=host) == rows
