"""Making room: limits, victims, memory that comes back late."""

import asyncio

import pytest

from scheduler.devices import Host
from scheduler.errors import InsufficientMemory
from scheduler.eviction import Candidate, choose_victim, idle
from scheduler.requests import FOREVER, Block, Limits
from tests.unit.scheduler.fakes import GB, cuda, settle, world

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("loaded", "victim"),
    [
        ([Candidate("r1", 1, True), Candidate("r2", 2, False)], "r2"),
        ([Candidate("r1", 1, True), Candidate("r2", 2, True)], "r1"),
        ([Candidate("r1", FOREVER, False), Candidate("r2", 300, False)], "r2"),
        ([Candidate("r1", -1, False), Candidate("r2", 300, False)], "r2"),
        ([Candidate("b", 5, False), Candidate("a", 5, False)], "a"),
        ([Candidate("a", FOREVER, False)], "a"),
        ([], None),
    ],
)
def test_the_victim(loaded: list[Candidate], victim: str | None) -> None:
    """The idle model with the shortest stay goes first, an endless stay last, equal ones by path; if all are busy,
    the one with the shortest stay, which is waited for; of none, none."""
    assert choose_victim(loaded) == victim


def test_all_idle_models_after_a_load_ran_out_of_memory() -> None:
    assert idle([Candidate("a", 1, True), Candidate("b", 1, False), Candidate("c", 9, False)]) == ("b", "c")


async def test_a_limit_of_one_evicts_even_what_would_fit() -> None:
    """At most one model, A idle: for B, A is evicted although both would fit."""
    async with world(limits=Limits(max_loaded=1)) as w:
        (await w.lease("a")).release()
        (await w.lease("b")).release()
        assert w.loaded == ["b"]
        assert w.spawn.runners[0].stopped


async def test_three_models_for_each_gpu() -> None:
    """No limit is set and there are two GPUs: for a seventh small model one of the six goes."""
    async with world(cuda(20 * GB), cuda(20 * GB, id="GPU-1")) as w:
        for i in range(7):
            (await w.lease(f"m{i}")).release()
        assert len(w.loaded) == 6


async def test_three_models_without_a_gpu() -> None:
    async with world() as w:
        for i in range(4):
            (await w.lease(f"m{i}")).release()
        assert w.loaded == ["m1", "m2", "m3"]


async def test_a_model_for_the_host_loads_beside_those_on_the_gpu_and_room_is_made_in_order() -> None:
    """24 GB in all, 12 free: C on the CPU beside A and B; D needs both of them gone, the idle one first."""
    async with world(cuda(23 * GB, 24 * GB)) as w:
        w.spawn.use = {"a": GB, "b": 10 * GB}
        (await w.lease("a", weights_bytes=GB, block_count=1, keep_alive=30.0)).release()
        b = await w.lease("b", weights_bytes=10 * GB, block_count=1, keep_alive=60.0)
        c = await w.lease("c", weights_bytes=GB, block_count=1, num_gpu=0, keep_alive=90.0)
        assert w.loaded == ["a", "b", "c"]
        assert w.spawn.runners[2].load.num_gpu == 0
        assert w.spawn.runners[2].environment["CUDA_VISIBLE_DEVICES"] == "-1"
        d = w.ask("d", weights_bytes=15 * GB, block_count=1)
        await w.clock.advance(0.5)
        assert w.loaded == ["b", "c"]
        assert not d.done()
        b.release()
        await settle()
        (await d).release()
        assert w.loaded == ["c", "d"]
        c.release()


async def test_a_gpu_without_room_evicts_before_anything_is_started() -> None:
    """The GPU is full and another model loaded: that one has to go, and no process is started before it has."""
    async with world(cuda(20 * GB)) as w:
        w.spawn.use = {"a": 20 * GB}
        a = await w.lease("a", weights_bytes=16 * GB, block_count=1)
        b = w.ask("b", weights_bytes=8 * GB, block_count=1)
        await settle()
        assert w.spawn.names == ["a"]
        a.release()
        await w.clock.advance(1)
        (await b).release()
        assert w.loaded == ["b"]


async def test_who_asks_for_some_layers_evicts_nobody() -> None:
    """The same with an explicit `num_gpu: 1`: it is loaded, and nobody evicted."""
    async with world(cuda(20 * GB)) as w:
        await w.lease("a", weights_bytes=16 * GB, block_count=40)
        await w.lease("b", weights_bytes=16 * GB, block_count=40, num_gpu=1)
        assert w.loaded == ["a", "b"]
        assert w.spawn.runners[1].load.num_gpu == 1


async def test_a_small_model_loads_alongside() -> None:
    """20 GB are free, the model is tiny: it loads beside the other."""
    async with world(cuda(20 * GB)) as w:
        await w.lease("a")
        await w.lease("b")
        assert w.loaded == ["a", "b"]


async def test_the_context_is_counted_once_for_each_parallel_request() -> None:
    """The prediction fits for one context but not for as many as there are parallel requests: somebody has to go."""
    sizes = {"blocks": (Block(keys=1024, values=1024),) * 10, "num_ctx": 65536}
    async with world(cuda(20 * GB), limits=Limits(num_parallel=1)) as one:
        await one.lease("a", weights_bytes=8 * GB, block_count=10)
        await one.lease("b", **sizes)
        assert one.loaded == ["a", "b"]
    async with world(cuda(20 * GB), limits=Limits(num_parallel=4)) as four:
        await four.lease("a", weights_bytes=8 * GB, block_count=10)
        waiting = four.ask("b", **sizes)
        await settle()
        assert not waiting.done()
        assert four.spawn.names == ["a"]
        waiting.cancel()


async def test_a_busy_victim_is_not_killed() -> None:
    """A is busy and has to go for B: it is not killed, B waits, and A's client gets its whole answer."""
    async with world(limits=Limits(max_loaded=1)) as w:
        a = await w.lease("a")
        generation = a.generate(prompt="x")
        reading = asyncio.ensure_future(anext(generation))
        b = w.ask("b")
        await settle()
        w.spawn.streams[0].say("whole")
        assert (await reading).deltas[0].text == "whole"
        w.spawn.streams[0].finish()
        assert (await anext(generation)).done is not None
        a.release()
        await b
        assert w.spawn.runners[0].graces == [5.0]


async def test_a_load_waits_until_the_memory_is_seen_back() -> None:
    """After A has ended, D loads once the driver reports A's memory as free."""
    async with world(cuda(20 * GB)) as w:
        w.spawn.use = {"a": 16 * GB}
        (await w.lease("a", weights_bytes=16 * GB, block_count=1)).release()
        w.spawn.lingers = True
        b = w.ask("b", weights_bytes=12 * GB, block_count=1)
        await w.clock.advance(2)
        assert w.spawn.names == ["a"], "the driver still reports the memory as used"
        w.devices.use.clear()
        await w.clock.advance(0.25)
        (await b).release()


async def test_a_driver_that_never_gives_it_back_is_waited_for_five_seconds() -> None:
    async with world(cuda(20 * GB)) as w:
        w.spawn.use = {"a": 16 * GB}
        w.spawn.lingers = True
        (await w.lease("a", weights_bytes=16 * GB, block_count=1)).release()
        b = w.ask("b", weights_bytes=12 * GB, block_count=1)
        await w.clock.advance(4.9)
        assert not b.done()
        await w.clock.advance(0.3)
        await b


async def test_devices_that_fail_to_tell_are_planned_by_their_old_figures() -> None:
    """A driver in trouble must not stop the service: neither loads nor unloads depend on its answer."""
    async with world(cuda(20 * GB)) as w:
        (await w.lease("a", weights_bytes=GB, block_count=1)).release()
        w.devices.broken = True
        (await w.lease("b", weights_bytes=GB, block_count=1)).release()
        assert w.loaded == ["a", "b"]
        for name in ("a", "b"):
            w.scheduler.expire(name)
        await settle()
        assert w.loaded == []
        assert w.spawn.running == [], "it ends although nobody can tell how much memory that frees"
        w.devices.broken = False
        (await w.lease("c", weights_bytes=16 * GB, block_count=1)).release()


async def test_every_plan_is_made_on_fresh_figures() -> None:
    """A request was refused for want of memory, or left while the devices were asked: the next one is not judged by
    what they said then."""
    async with world(host=Host(total=64 * GB, free=GB)) as w:
        with pytest.raises(InsufficientMemory):
            await w.lease("a", weights_bytes=6 * GB)
        w.devices.host = Host(total=64 * GB, free=60 * GB)
        (await w.lease("a", weights_bytes=6 * GB)).release()
        seen = w.devices.refreshed
        gone = w.ask("b")
        for _ in range(30):
            if w.devices.refreshed > seen:
                gone.cancel()
            await asyncio.sleep(0)
        await settle()
        (await w.lease("c")).release()
        assert w.devices.refreshed == seen + 2


async def test_an_endless_stay_makes_room_when_nothing_else_can() -> None:
    """`keep_alive: -1` is a wish for peace, not a right to the memory."""
    async with world(limits=Limits(max_loaded=1)) as w:
        (await w.lease("a", keep_alive=FOREVER)).release()
        (await w.lease("b")).release()
        assert w.loaded == ["b"]


async def test_a_limit_that_was_set_holds_whatever_the_devices() -> None:
    """Two models at most, and never more: not even while one of them goes."""
    async with world(cuda(80 * GB), limits=Limits(max_loaded=2)) as w:
        for i in range(6):
            (await w.lease(f"m{i}")).release()
            assert len(w.loaded) <= 2
            assert len(w.spawn.running) <= 2


async def test_the_host_s_memory_makes_room_too() -> None:
    async with world(host=Host(total=10 * GB, free=10 * GB)) as w:
        (await w.lease("a", weights_bytes=6 * GB)).release()
        (await w.lease("b", weights_bytes=6 * GB)).release()
        assert w.loaded == ["b"]


async def test_a_model_larger_than_the_machine_is_refused_with_both_figures() -> None:
    async with world(host=Host(total=4 << 30, free=3 << 30)) as w:
        with pytest.raises(InsufficientMemory) as refused:
            await w.lease("a", weights_bytes=6 << 30)
        assert str(refused.value) == "model requires more system memory (6.0 GiB) than is available (3.0 GiB)"
        assert w.spawn.names == []
        (await w.lease("b")).release()


async def test_nobody_leaves_for_a_model_that_can_never_fit() -> None:
    async with world(host=Host(total=4 << 30, free=3 << 30)) as w:
        (await w.lease("b")).release()
        with pytest.raises(InsufficientMemory):
            await w.lease("a", weights_bytes=6 << 30)
        assert w.loaded == ["b"]


async def test_an_automatic_context_shrinks_to_what_the_host_can_hold() -> None:
    """32,768 tokens of 64 KiB take 2 GiB; the host has a little more than a quarter of that."""
    shape = {"blocks": (Block(keys=1024, values=1024),) * 16}
    host = Host(total=1 << 30, free=800 << 20)
    gpu = cuda(24 << 30)
    async with world(gpu, host=host, limits=Limits(num_parallel=1)) as w:
        gone = cuda(0, 24 << 30)
        w.devices.gpus = (gone,)
        lease = await w.lease("a", **shape)
        assert w.spawn.runners[0].load.num_ctx == 8192
        assert w.scheduler.loaded()[0].reduced == ("context 32768 → 8192 tokens",)
        lease.release()
        w.scheduler.expire("a")
        with pytest.raises(InsufficientMemory):
            await w.lease("a", num_ctx=32768, **shape)
