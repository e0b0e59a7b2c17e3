"""Loads that fail, runners that die, memory that runs out."""

import asyncio

import pytest

from scheduler.devices import Host
from scheduler.errors import InsufficientMemory, LoadFailed, LoadStalled, RunnerDied, RunnerFailed, SpareHung
from scheduler.ladder import UNREDUCED, Ladder, next_rung
from scheduler.requests import Block, Limits
from tests.unit.scheduler.fakes import GB, cuda, settle, world

pytestmark = pytest.mark.anyio

GIB = 1 << 30


def starved() -> LoadFailed:
    return LoadFailed("unable to allocate CUDA0 buffer: out of memory", out_of_memory=True)


# -- the ladder as a function -------------------------------------------------------------------------------------


def climb(ladder: Ladder | None, **changes: object) -> Ladder | None:
    assert ladder is not None
    state: dict[str, object] = {
        "projector_on_gpu": False,
        "idle_others": False,
        "num_ctx": 4096,
        "num_ctx_auto": True,
        "gpu_layers": 0,
        "num_gpu_auto": True,
    }
    return next_rung(ladder, **(state | changes))  # pyright: ignore[reportArgumentType]


def test_the_whole_way_down() -> None:
    ladder = climb(UNREDUCED, idle_others=True, num_ctx=16384, gpu_layers=30)
    assert ladder == Ladder(clear=True)
    ladder = climb(ladder, idle_others=True, num_ctx=16384, gpu_layers=30)
    assert ladder == Ladder(clear=True, num_ctx=8192)
    ladder = climb(ladder, num_ctx=8192, gpu_layers=30)
    assert ladder == Ladder(clear=True, num_ctx=4096)
    for cuts, layers in ((1, 20), (2, 10), (3, 0)):
        ladder = climb(ladder, num_ctx=4096, gpu_layers=30)
        assert ladder == Ladder(clear=True, num_ctx=4096, cuts=cuts)
        assert ladder is not None
        assert ladder.layers(30) == layers
    assert climb(ladder, num_ctx=4096) is None
    assert ladder is not None
    assert len(ladder.reductions(16384)) == 2


def test_a_projector_goes_first_and_only_once() -> None:
    ladder = climb(UNREDUCED, projector_on_gpu=True, idle_others=True, num_ctx=16384, gpu_layers=30)
    assert ladder == Ladder(projector_on_host=True)
    ladder = climb(ladder, idle_others=True)
    assert ladder == Ladder(projector_on_host=True, clear=True)


def test_what_was_asked_for_is_never_reduced() -> None:
    assert climb(UNREDUCED, num_ctx=100000, num_ctx_auto=False) is None
    assert climb(UNREDUCED, gpu_layers=30, num_gpu_auto=False) is None


def test_a_small_automatic_context_is_not_halved_below_the_least() -> None:
    assert climb(UNREDUCED, num_ctx=4096) is None
    assert climb(UNREDUCED, num_ctx=6000) == Ladder(num_ctx=4096)


# -- in the running scheduler -------------------------------------------------------------------------------------


async def test_a_file_that_the_engine_does_not_take_comes_with_advice() -> None:
    """The engine refuses the file: the error advises to pull the model again, and nothing is in the table."""
    async with world() as w:
        w.spawn.failures = [LoadFailed("unknown model architecture: 'x'", unsupported=True)]
        with pytest.raises(LoadFailed) as failed:
            await w.lease("a", name="tiny:latest")
        assert str(failed.value) == (
            "unknown model architecture: 'x': this model may be incompatible with your version of Ollama. If you "
            "previously pulled this model, try updating it by running `ollama pull tiny:latest`"
        )
        await settle()
        assert w.loaded == []
        assert w.spawn.running == []


async def test_everyone_who_waits_for_a_load_that_fails_is_told() -> None:
    async with world(hold=True) as w:
        tasks = [w.ask("a") for _ in range(3)]
        other = w.ask("b")
        await settle()
        w.spawn.runners[0].finish_load(LoadFailed("no"))
        for task in tasks:
            with pytest.raises(LoadFailed, match="no"):
                await task
        await settle()
        w.spawn.runners[1].finish_load()
        await other


async def test_out_of_memory_unloads_idle_models_and_tries_again_with_the_same_options() -> None:
    """Out of memory with others loaded and an explicit context: the idle ones are evicted, and it is tried again
    with the same context."""
    async with world() as w:
        (await w.lease("b")).release()
        busy = await w.lease("c")
        w.spawn.failures = [starved(), None]
        await w.lease("a", num_ctx=8192)
        assert w.loaded == ["a", "c"]
        assert [runner.load.num_ctx for runner in w.spawn.runners[2:]] == [8192, 8192]
        busy.release()


async def test_out_of_memory_twice_with_an_explicit_context_is_an_error_with_both_figures() -> None:
    """The second attempt fails too: an error for the client with what is needed and what there is."""
    async with world() as w:
        (await w.lease("b")).release()
        w.spawn.failures = [starved(), starved()]
        with pytest.raises(
            InsufficientMemory, match=r"requires more system memory \(.*\) than is available \(.*\): unable"
        ):
            await w.lease("a", num_ctx=8192)
        await settle()
        assert w.loaded == []
        (await w.lease("a", num_ctx=8192)).release()


async def test_out_of_memory_halves_an_automatic_context_until_it_fits() -> None:
    """Out of memory on the first model with an automatic context: half of it, again and again."""
    async with world(cuda(100 << 30), limits=Limits(num_parallel=1)) as w:
        w.spawn.failures = [starved(), starved(), None]
        lease = await w.lease("a")
        assert [runner.load.num_ctx for runner in w.spawn.runners] == [131072, 65536, 32768]
        assert w.scheduler.loaded()[0].reduced == ("context 131072 → 32768 tokens",)
        lease.release()
        (await w.lease("a")).release()
        assert len(w.spawn.runners) == 3, "an automatic request takes the shrunk runner"


async def test_out_of_memory_on_a_gpu_takes_layers_off_it_three_times() -> None:
    async with world(cuda(20 * GB)) as w:
        w.spawn.failures = [starved(), starved(), starved(), None]
        await w.lease("a", num_ctx=8192, blocks=(Block(),) * 29)
        assert [runner.load.num_gpu for runner in w.spawn.runners] == [-1, 20, 10, 0]
        assert w.scheduler.loaded()[0].reduced


async def test_out_of_memory_on_a_gpu_is_told_in_its_memory() -> None:
    """A number of layers and a context that were asked for: there is nothing to give up."""
    async with world(cuda(20 * GB)) as w:
        w.spawn.failures = [starved()]
        with pytest.raises(InsufficientMemory) as failed:
            await w.lease("a", num_ctx=8192, num_gpu=99)
        assert str(failed.value).startswith("model requires more gpu memory (")
        assert str(failed.value).endswith(
            ") than is available (18.6 GiB): unable to allocate CUDA0 buffer: out of memory"
        )


async def test_out_of_memory_on_the_host_beside_a_gpu_is_told_in_that_of_the_host() -> None:
    async with world(cuda(20 * GB), host=Host(total=16 * GIB, free=8 * GIB)) as w:
        w.spawn.failures = [LoadFailed("unable to allocate CPU buffer", out_of_memory=True)]
        with pytest.raises(InsufficientMemory, match=r"system memory \(.*\) than is available \(8.0 GiB\): unable"):
            await w.lease("a", num_ctx=8192, num_gpu=99)


async def test_out_of_memory_moves_the_projector_to_the_host_before_anything_else() -> None:
    """Others stay loaded, and the context is the one that was asked for."""
    async with world(cuda(20 * GB)) as w:
        (await w.lease("b")).release()
        w.spawn.failures = [starved(), None]
        await w.lease("a", num_ctx=8192, projectors=("p",), projector_bytes=GB)
        assert [runner.load.projector_on_gpu for runner in w.spawn.runners] == [False, True, False]
        assert w.loaded == ["a", "b"]
        assert {row.model.key: row.reduced for row in w.scheduler.loaded()}["a"] == ("projector on the CPU",)


async def test_a_runner_in_reserve_that_hangs_costs_nobody_an_error() -> None:
    """Another one is started for the same request, and the one behind it waits no longer than that."""
    async with world() as w:
        w.spawn.failures = [SpareHung(), None]
        first, second = w.ask("a"), w.ask("a")
        await first
        await second
        assert w.spawn.names == ["a", "a"]
        assert w.spawn.runners[0].stopped


async def test_another_failure_touches_no_other_model_and_is_not_tried_again() -> None:
    """A crash that has nothing to do with memory, with others loaded: an error at once, and the others are
    untouched."""
    async with world() as w:
        (await w.lease("b")).release()
        w.spawn.failures = [LoadFailed("llama runner process has terminated: signal: segmentation fault")]
        with pytest.raises(LoadFailed, match="segmentation fault"):
            await w.lease("a")
        assert w.loaded == ["b"]
        assert len(w.spawn.runners) == 2


async def test_a_runner_lost_in_the_moment_it_is_ready_is_an_error_and_leaves_the_table() -> None:
    """The load succeeds and the process ends with it: its client gets an error, the next one a fresh load."""
    async with world(hold=True) as w:
        task = w.ask("a")
        await settle()
        w.spawn.runners[0].finish_load()
        lease = await task
        w.spawn.runners[0].die("signal: killed")
        with pytest.raises(RunnerDied):
            await anext(lease.generate(prompt="x"))
        lease.release()
        await settle()
        assert w.loaded == []
        w.spawn.hold = False
        (await w.lease("a")).release()
        assert w.spawn.names == ["a", "a"]


async def test_out_of_memory_on_the_first_model_with_an_explicit_context_is_an_error_at_once() -> None:
    """There is nobody to evict, and what was asked for is not reduced."""
    async with world() as w:
        w.spawn.failures = [starved()]
        with pytest.raises(InsufficientMemory):
            await w.lease("a", num_ctx=8192)
        assert len(w.spawn.runners) == 1


async def test_out_of_memory_with_an_automatic_context_evicts_first_and_halves_then() -> None:
    """Others are loaded: all that are idle go, then the context is halved, until it loads; the answer is one."""
    async with world(cuda(100 << 30), limits=Limits(num_parallel=1)) as w:
        (await w.lease("b", num_ctx=4096)).release()
        w.spawn.failures = [starved(), starved(), None]
        await w.lease("a")
        assert w.loaded == ["a"]
        assert [runner.load.num_ctx for runner in w.spawn.runners[1:]] == [131072, 131072, 65536]


async def test_a_client_that_leaves_between_two_attempts_ends_them() -> None:
    """Out of memory, and nobody waits any more: it is not tried again."""
    async with world(hold=True) as w:
        task = w.ask("a")
        await settle()
        w.spawn.runners[0].finish_load(starved())
        task.cancel()
        await settle()
        assert w.loaded == []
        assert w.spawn.running == []
        assert w.clock.timers == []


async def test_a_stalled_load_is_an_error() -> None:
    """A load without a sign of life ends with the reference's sentence and the last captured words."""
    async with world() as w:
        w.spawn.failures = [LoadStalled("last words")]
        with pytest.raises(LoadFailed, match="timed out waiting for llama-server to start - last words"):
            await w.lease("a")


async def test_what_nobody_foresaw_is_an_error_and_the_scheduler_lives() -> None:
    async with world() as w:
        w.spawn.failures = [ZeroDivisionError("surprise")]
        with pytest.raises(LoadFailed, match="surprise"):
            await w.lease("a")
        (await w.lease("a")).release()


async def test_a_runner_killed_between_requests_is_replaced() -> None:
    """A runner is killed between two requests: the next one gets a fresh load and its answer."""
    async with world() as w:
        (await w.lease("a")).release()
        w.spawn.runners[0].die()
        lease = await w.lease("a")
        assert lease.runner is w.spawn.runners[1]


async def test_a_runner_that_is_dying_gets_no_request_even_before_its_end_is_heard_of() -> None:
    async with world() as w:
        (await w.lease("a")).release()
        w.spawn.runners[0].alive = False
        lease = await w.lease("a")
        assert lease.runner is w.spawn.runners[1]


async def test_a_death_under_requests_fails_them_and_those_that_wait_for_a_place() -> None:
    """A runner is killed before the first token: `model runner has unexpectedly stopped`, for all who waited on it."""
    async with world(limits=Limits(num_parallel=1)) as w:
        lease = await w.lease("a")
        reading = asyncio.ensure_future(anext(lease.generate(prompt="x")))
        waiting = asyncio.ensure_future(anext(lease.generate(prompt="y")))
        await settle()
        w.spawn.runners[0].die("signal: killed")
        for task in (reading, waiting):
            with pytest.raises(
                RunnerDied, match=r"unexpectedly stopped.*check ollama server logs for details: signal: k"
            ):
                await task
        lease.release()
        (await w.lease("a")).release()
        assert w.spawn.names == ["a", "a"]


async def test_running_out_of_memory_in_a_request_clears_what_is_idle() -> None:
    """A request runs out of memory: its client gets the error, idle models go at once, busy ones when they are free."""
    async with world() as w:
        a, b = await w.lease("a"), await w.lease("b")
        (await w.lease("c")).release()
        reading = asyncio.ensure_future(anext(a.generate(prompt="x")))
        await settle()
        w.spawn.streams[0].fail(RunnerFailed("Compute error.: CUDA error: out of memory"))
        with pytest.raises(RunnerFailed, match="Compute error"):
            await reading
        await settle()
        assert w.loaded == ["a", "b"]
        a.release()
        await settle()
        assert w.loaded == ["b"]
        b.release()
        await settle()
        assert w.loaded == []


async def test_a_runner_that_dies_for_want_of_memory_clears_what_is_idle() -> None:
    """The engine may abort instead of failing the request: the next load must find room all the same."""
    async with world() as w:
        (await w.lease("b")).release()
        lease = await w.lease("a")
        reading = asyncio.ensure_future(anext(lease.generate(prompt="x")))
        await settle()
        w.spawn.runners[1].die("signal: aborted: CUDA error: out of memory")
        with pytest.raises(RunnerDied, match="out of memory"):
            await reading
        lease.release()
        await settle()
        assert w.loaded == []


async def test_running_out_of_memory_in_an_embedding_counts_too() -> None:
    async with world() as w:
        (await w.lease("b")).release()
        lease = await w.lease("a", embedding=True)
        w.spawn.runners[1].embed_error = RunnerFailed("failed to allocate compute buffer")
        with pytest.raises(RunnerFailed):
            await lease.embed(["x"])
        await settle()
        assert w.loaded == ["a"]


async def test_running_out_of_memory_over_ranks_counts_too() -> None:
    async with world() as w:
        (await w.lease("b")).release()
        lease = await w.lease("a", embedding=True)
        w.spawn.runners[1].embed_error = RunnerFailed("failed to allocate compute buffer")
        with pytest.raises(RunnerFailed):
            await lease.rank("x", ["y"])
        await settle()
        assert w.loaded == ["a"]


async def test_a_death_in_the_middle_of_an_answer_is_told_in_its_place() -> None:
    """A runner is killed mid-stream: what has come stays, and the end is `an error was encountered while running the
    model`, with the cause."""
    async with world() as w:
        lease = await w.lease("a")
        generation = lease.generate(prompt="x")
        reading = asyncio.ensure_future(anext(generation))
        await settle()
        w.spawn.streams[0].say("so far")
        assert (await reading).deltas[0].text == "so far"
        w.spawn.streams[0].fail(RunnerDied("signal: killed", streamed=True))
        with pytest.raises(RunnerDied, match=r"^an error was encountered while running the model: signal: killed$"):
            await anext(generation)
        assert lease.places.free == lease.parallel


async def test_with_one_place_the_second_waits_and_leaving_frees_nothing() -> None:
    """One place, two requests: the second waits; cancelled while waiting it returns at once, and the first goes on."""
    async with world(limits=Limits(num_parallel=1)) as w:
        first, second = await w.lease("a"), await w.lease("a")
        reading = asyncio.ensure_future(anext(first.generate(prompt="x")))
        waiting = asyncio.ensure_future(anext(second.generate(prompt="y")))
        await settle()
        waiting.cancel()
        await settle()
        assert waiting.cancelled()
        second.release()
        assert first.places.free == 0
        assert not reading.done()
        w.spawn.streams[0].finish()
        assert (await reading).done is not None
        assert first.places.free == 1


async def test_a_request_that_is_at_fault_itself_expires_nothing() -> None:
    async with world() as w:
        lease = await w.lease("a")
        reading = asyncio.ensure_future(anext(lease.generate(prompt="x")))
        await settle()
        w.spawn.streams[0].fail(RunnerFailed("the input length exceeds the context length", 400))
        with pytest.raises(RunnerFailed) as failed:
            await reading
        assert failed.value.status == 400
        lease.release()
        await settle()
        assert w.loaded == ["a"]
