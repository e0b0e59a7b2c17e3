"""OLLAMA_FLASH_ATTENTION and OLLAMA_KV_CACHE_TYPE: what is asked of the runner, accepted, refused and automatic."""

import msgspec
import pytest

from scheduler import frames
from scheduler.requests import Block, Limits
from tests.unit.scheduler.fakes import GB, FakeRunner, cuda, world

pytestmark = pytest.mark.anyio

MODERN, OLD = (8, 6), (5, 0)


@pytest.mark.parametrize(
    ("kind", "flash", "compute", "asked", "warning"),
    [
        ("f16", None, MODERN, (None, "f16"), ""),
        ("", None, MODERN, (None, "f16"), ""),
        ("q8_0", None, MODERN, (None, "q8_0"), ""),
        ("Q4_0", True, MODERN, (True, "q4_0"), ""),
        ("iq4_nl", True, OLD, (True, "iq4_nl"), ""),
        ("bf16", False, MODERN, (False, "bf16"), ""),
        ("f32", None, OLD, (False, "f32"), ""),
        ("f16", None, OLD, (False, "f16"), ""),
        ("q8_0", False, MODERN, (False, "f16"), "must be enabled to use a quantized OLLAMA_KV_CACHE_TYPE"),
        ("q8_0", None, OLD, (False, "f16"), "must be enabled to use a quantized OLLAMA_KV_CACHE_TYPE"),
        ("q4_K", True, MODERN, (True, "f16"), "unsupported OLLAMA_KV_CACHE_TYPE"),
        ("turbo", None, MODERN, (None, "f16"), "unsupported OLLAMA_KV_CACHE_TYPE"),
    ],
)
async def test_on_a_gpu(
    kind: str,
    flash: bool | None,
    compute: tuple[int, int],
    asked: tuple[bool | None, str],
    warning: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    limits = Limits(kv_cache_type=kind, flash_attention=flash)
    async with world(cuda(20 * GB, compute=compute), limits=limits) as one:
        (await one.lease("a")).release()
        load = one.spawn.runners[0].load
    assert (load.flash_attention, load.kv_cache_type) == asked
    logged = capsys.readouterr().out
    assert warning in logged
    assert warning or "OLLAMA_KV_CACHE_TYPE" not in logged


@pytest.mark.parametrize(
    ("kind", "flash", "asked"),
    [
        ("f16", None, (False, "f16")),
        ("q8_0", None, (None, "q8_0")),
        ("q8_0", True, (True, "q8_0")),
        ("q8_0", False, (False, "f16")),
        ("f16", True, (True, "f16")),
    ],
)
async def test_on_the_processor(kind: str, flash: bool | None, asked: tuple[bool | None, str]) -> None:
    async with world(limits=Limits(kv_cache_type=kind, flash_attention=flash)) as one:
        (await one.lease("a")).release()
        load = one.spawn.runners[0].load
    assert (load.flash_attention, load.kv_cache_type) == asked


async def test_a_request_for_the_processor_on_a_machine_with_a_gpu_is_planned_for_the_processor() -> None:
    async with world(cuda(20 * GB, compute=MODERN)) as one:
        (await one.lease("a", num_gpu=0)).release()
        assert one.spawn.runners[0].load.flash_attention is False


async def test_a_type_that_the_model_cannot_have_is_said_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    async with world(cuda(20 * GB, compute=MODERN), limits=Limits(kv_cache_type="q8_0")) as one:
        (await one.lease("a", block_count=1, blocks=(Block(keys=80, values=80, head=80),))).release()
        assert one.spawn.runners[0].load.kv_cache_type == "f16"
    logged = capsys.readouterr().out
    assert "the heads of the model are no multiple of a block of OLLAMA_KV_CACHE_TYPE" in logged
    assert "a:latest" in logged
    assert "q8_0" in logged


async def test_a_type_that_the_engine_refuses_is_said_with_its_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header did not tell; the runner has loaded it with f16."""

    def loaded(runner: FakeRunner) -> frames.Loaded:
        return msgspec.structs.replace(tell(runner), kv_cache_type="f16")

    tell = FakeRunner.loaded
    monkeypatch.setattr(FakeRunner, "loaded", loaded)
    async with world(cuda(20 * GB, compute=MODERN), limits=Limits(kv_cache_type="q4_0")) as one:
        (await one.lease("a")).release()
        assert one.spawn.runners[0].load.kv_cache_type == "q4_0"
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "refused the KV cache type" in line]
    assert "a:latest" in line
    assert "q4_0" in line
