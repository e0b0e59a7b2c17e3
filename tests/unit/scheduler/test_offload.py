"""Models that should be on a GPU: what a broken one does to loads and runners, and LLAMAD_REQUIRE_GPU."""

import pytest

from scheduler import frames
from scheduler.devices import Device
from scheduler.errors import GpuRequired, LoadFailed, RunnerDied
from scheduler.requests import Limits
from tests.unit.scheduler.fakes import GB, World, cuda, settle, world

pytestmark = pytest.mark.anyio

REQUIRED = Limits(require_gpu=True)
BROKEN = "CUDA error: unspecified launch failure"
CPU_ONLY = [frames.Buffer("CPU", "model", 1 << 20)]


def loses_its_gpu(one: World) -> list[str]:
    """The devices find, once suspected, that no GPU is left; the list of what they were told."""
    told: list[str] = []

    def suspect(reason: str) -> None:
        told.append(reason)
        one.devices.gpus = ()

    one.devices.suspect = suspect
    return told


async def test_a_runner_whose_gpu_fails_is_replaced_and_ps_shows_the_cpu() -> None:
    async with world(cuda(20 * GB)) as one:
        told = loses_its_gpu(one)
        lease = await one.lease("a")
        assert one.scheduler.loaded()[0].size_vram > 0
        one.spawn.runners[0].die(f"signal: aborted: {BROKEN}")
        await settle()
        lease.release()
        assert told == [f"signal: aborted: {BROKEN}"]
        again = await one.lease("a")
        assert one.spawn.runners[1].environment["CUDA_VISIBLE_DEVICES"] == "-1"
        assert one.scheduler.loaded()[0].size_vram == 0
        again.release()


async def test_a_runner_that_dies_for_another_reason_casts_no_suspicion() -> None:
    async with world(cuda(20 * GB)) as one:
        (await one.lease("a")).release()
        one.spawn.runners[0].die("signal: killed")
        await settle()
        assert one.devices.suspicions == []


async def test_a_load_that_fails_for_a_gpu_is_tried_once_more_on_what_is_left() -> None:
    async with world(cuda(20 * GB)) as one:
        told = loses_its_gpu(one)
        one.spawn.failures = [LoadFailed(f"llama runner process has terminated: signal: aborted: {BROKEN}")]
        (await one.lease("a")).release()
        assert len(told) == 1
        assert one.spawn.runners[1].environment["CUDA_VISIBLE_DEVICES"] == "-1"


async def test_a_gpu_that_goes_on_failing_is_an_error_and_no_endless_loop() -> None:
    async with world(cuda(20 * GB)) as one:
        one.spawn.failures = [LoadFailed(BROKEN), LoadFailed(BROKEN), LoadFailed(BROKEN)]
        with pytest.raises(LoadFailed, match="unspecified launch failure"):
            await one.lease("a")
        assert len(one.spawn.runners) == len(one.devices.suspicions) == 2


async def test_an_engine_that_quietly_takes_the_cpu_is_noticed_and_shown_as_it_is() -> None:
    async with world(cuda(20 * GB)) as one:
        one.spawn.buffers = lambda runner: CPU_ONLY
        (await one.lease("a")).release()
        assert one.devices.suspicions == ["the engine could not use the GPU, and loaded the model on the CPU"]
        assert one.scheduler.loaded()[0].size_vram == 0


async def test_where_a_gpu_is_required_that_is_an_error() -> None:
    async with world(cuda(20 * GB), limits=REQUIRED) as one:
        loses_its_gpu(one)
        one.spawn.buffers = lambda runner: CPU_ONLY
        with pytest.raises(GpuRequired, match="no GPU was found"):
            await one.lease("a")
        assert one.loaded == []


async def test_where_a_gpu_is_required_a_machine_without_one_refuses() -> None:
    async with world(limits=REQUIRED) as one:
        with pytest.raises(GpuRequired, match="LLAMAD_REQUIRE_GPU is set: no GPU was found"):
            await one.lease("a")
        assert one.spawn.runners == []
        (await one.lease("b", num_gpu=0)).release()
        assert one.loaded == ["b"], "who asks for the CPU gets it"


async def test_where_a_gpu_is_required_the_reason_names_what_befell_it() -> None:
    async with world(cuda(20 * GB), limits=REQUIRED) as one:
        lease = await one.lease("a")
        loses_its_gpu(one)
        one.devices.trouble = f"{BROKEN}; reload it"
        one.spawn.runners[0].die(BROKEN)
        await settle()
        lease.release()
        with pytest.raises(GpuRequired, match="unspecified launch failure; reload it"):
            await one.lease("a")


@pytest.mark.parametrize("gpus", [(), (cuda(20 * GB),)])
async def test_without_the_setting_models_are_loaded_on_what_there_is(gpus: tuple[Device, ...]) -> None:
    async with world(*gpus) as one:
        (await one.lease("a")).release()
        assert one.loaded == ["a"]
        assert one.devices.suspicions == []


def test_a_refusal_is_a_failed_load_with_its_reason() -> None:
    error = GpuRequired("no GPU was found")
    assert isinstance(error, LoadFailed)
    assert not error.out_of_memory
    assert not error.unsupported
    assert error.reason == "no GPU was found"
    assert not isinstance(RunnerDied(), LoadFailed)
