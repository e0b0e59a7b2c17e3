"""Who waits and who is served: scheduler.loop with requests for several models."""

import asyncio
from contextlib import suppress

import pytest

from scheduler.errors import QueueFull, ShuttingDown, WeightsMissing
from scheduler.requests import Limits
from tests.unit.scheduler.fakes import settle, wish, world

pytestmark = pytest.mark.anyio


async def test_a_full_queue_refuses_at_once_and_the_one_worked_on_does_not_count() -> None:
    async with world(limits=Limits(max_queue=1), hold=True) as w:
        first, second = w.ask("a"), w.ask("b")
        await settle()
        with pytest.raises(QueueFull, match=r"^server busy, please try again\.  maximum pending requests exceeded$"):
            await w.lease("c")
        w.spawn.runners[0].finish_load()
        await first
        await settle()
        w.spawn.runners[1].finish_load()
        await second
        assert w.spawn.names == ["a", "b"]


async def test_a_queue_of_no_length_is_always_full_but_loaded_models_are_served() -> None:
    async with world(limits=Limits(max_queue=0)) as w:
        with pytest.raises(QueueFull):
            await w.lease("a")
        assert w.spawn.names == []


async def test_a_loaded_model_is_served_at_once_while_the_queue_is_full() -> None:
    async with world(limits=Limits(max_queue=2)) as w:
        (await w.lease("a")).release()
        w.spawn.hold = True
        waiting = [w.ask("b") for _ in range(3)]
        await settle()
        with pytest.raises(QueueFull):
            await w.lease("b")
        (await w.lease("a")).release()
        w.spawn.runners[1].finish_load()
        for task in waiting:
            (await task).release()


async def test_a_request_cancelled_before_its_turn_is_never_loaded() -> None:
    async with world(hold=True) as w:
        first, second, third = w.ask("a"), w.ask("b"), w.ask("c")
        await settle()
        second.cancel()
        w.spawn.runners[0].finish_load()
        await first
        await settle()
        w.spawn.runners[1].finish_load()
        await third
        assert w.spawn.names == ["a", "c"]


async def test_one_load_at_a_time() -> None:
    async with world(hold=True) as w:
        slow, small = w.ask("a"), w.ask("b")
        await settle()
        assert w.spawn.names == ["a"]
        w.spawn.runners[0].finish_load()
        await slow
        await settle()
        assert w.spawn.names == ["a", "b"]
        w.spawn.runners[1].finish_load()
        await small


async def test_missing_weights_name_the_path_and_leave_nothing() -> None:
    async with world() as w:
        w.spawn.failures = [WeightsMissing("/models/a")]
        with pytest.raises(WeightsMissing, match="/models/a"):
            await w.lease("a")
        await settle()
        assert w.loaded == []
        assert w.spawn.running == []


async def test_a_load_that_nobody_waits_for_is_killed_at_once() -> None:
    async with world(hold=True) as w:
        task = w.ask("a")
        await settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await settle()
        assert w.spawn.runners[0].stopped
        assert w.spawn.runners[0].graces == [0.0]
        assert w.loaded == []
        w.spawn.hold = False
        (await w.lease("a")).release()
        assert w.spawn.names == ["a", "a"]


async def test_a_load_is_handed_to_the_next_who_waits_for_it() -> None:
    async with world(hold=True) as w:
        first, other, second = w.ask("a"), w.ask("b"), w.ask("a")
        await settle()
        first.cancel()
        await settle()
        w.spawn.runners[0].finish_load()
        await second
        assert w.spawn.names[0] == "a"
        assert not w.spawn.runners[0].stopped
        await settle()
        w.spawn.runners[1].finish_load()
        await other
        assert w.spawn.names == ["a", "b"]


async def test_requests_for_the_model_being_loaded_join_it() -> None:
    async with world(hold=True) as w:
        tasks = [w.ask("a") for _ in range(5)]
        await settle()
        w.spawn.runners[0].finish_load()
        await asyncio.gather(*tasks)
        assert w.spawn.names == ["a"]


async def test_a_steady_stream_to_one_model_cannot_starve_another() -> None:
    """With one model at a time and width 1, two requests may pass the one that needs the room, no more."""
    async with world(limits=Limits(max_loaded=1, num_parallel=1)) as w:
        running = [await w.lease("a")]
        starving = w.ask("b")
        await settle()
        passing = [w.ask("a") for _ in range(4)]
        await settle()
        assert [task.done() for task in passing] == [True, True, False, False]
        assert not starving.done()
        for lease in [*running, passing[0].result(), passing[1].result()]:
            lease.release()
        b = await starving
        await settle()
        assert w.loaded == ["b"]
        b.release()
        for task in passing[2:]:
            (await task).release()
        assert w.spawn.names == ["a", "b", "a"]


async def test_waiting_requests_of_a_newly_loaded_model_pass_within_the_same_bound() -> None:
    async with world(limits=Limits(max_loaded=1, num_parallel=1), hold=True) as w:
        first = w.ask("b")
        await settle()
        other = w.ask("a")
        await settle()
        later = [w.ask("b") for _ in range(4)]
        await settle()
        w.spawn.hold = False
        w.spawn.runners[0].finish_load()
        b = await first
        await settle()
        assert [task.done() for task in later] == [True, True, False, False]
        for lease in (b, later[0].result(), later[1].result()):
            lease.release()
        (await other).release()
        for task in later[2:]:
            (await task).release()
        assert w.spawn.names == ["b", "a", "b"]


async def test_models_that_need_not_leave_are_served_without_bound() -> None:
    async with world(limits=Limits(max_loaded=2, num_parallel=1)) as w:
        a, b = await w.lease("a", keep_alive=1000), await w.lease("b", keep_alive=10)
        waiting = w.ask("c")
        await settle()
        for _ in range(20):
            (await w.lease("a")).release()
        assert not waiting.done()
        b.release()
        (await waiting).release()
        a.release()
        assert w.loaded == ["a", "c"]


async def test_three_hundred_cancels_at_any_moment_leak_nothing() -> None:
    """Whenever a client leaves - queued, loading, waiting for its place, reading - the model serves on."""
    async with world(limits=Limits(num_parallel=2)) as w:

        async def client(steps: int) -> None:
            async with await w.scheduler.lease(wish("a")) as lease:
                async for _ in lease.generate(prompt="x"):
                    await asyncio.sleep(0)

        for i in range(300):
            task = asyncio.create_task(client(i))
            for _ in range(i % 13):
                await asyncio.sleep(0)
            for stream in w.spawn.streams[-2:]:
                stream.say("y")
            if i % 2:
                await asyncio.sleep(0)
            task.cancel()
        await settle()
        assert w.spawn.runners[-1].open == []
        async with await w.lease("a") as lease:
            assert lease.places.free == 2
            generation = lease.generate(prompt="z")
            next_chunk = asyncio.ensure_future(anext(generation))
            await settle()
            w.spawn.streams[-1].finish()
            assert (await next_chunk).done is not None
        assert all(runner.most_open <= 2 for runner in w.spawn.runners)


async def test_stop_refuses_who_waits_and_who_comes() -> None:
    async with world(hold=True) as w:
        loading, queued = w.ask("a"), w.ask("b")
        await settle()
        await w.scheduler.stop()
        for task in (loading, queued):
            with pytest.raises(ShuttingDown):
                await task
        with pytest.raises(ShuttingDown):
            await w.lease("c")


async def test_stop_drains_running_requests_and_then_cuts() -> None:
    async with world() as w:
        quick, slow = await w.lease("a"), await w.lease("b")
        generation = slow.generate(prompt="x")
        reading = asyncio.ensure_future(anext(generation))
        stopping = asyncio.create_task(w.scheduler.stop(8.0))
        await settle()
        assert w.spawn.running == ["a", "b"]
        quick.release()
        await w.clock.advance(7.9)
        assert w.spawn.running == ["b"]
        assert not stopping.done()
        await w.clock.advance(0.1)
        with pytest.raises(ShuttingDown):
            await reading
        await stopping
        slow.release()


async def test_a_second_stop_does_not_wait_for_the_first() -> None:
    async with world() as w:
        await w.lease("a")
        first = asyncio.create_task(w.scheduler.stop(1000.0))
        await settle()
        assert not first.done()
        await w.scheduler.stop()
        await first
        assert w.spawn.running == []


async def test_an_idle_scheduler_has_no_alarm_but_keep_alives() -> None:
    async with world() as w:
        assert w.clock.timers == []
        lease = await w.lease("a")
        assert w.clock.timers == []
        lease.release()
        await settle()
        assert len(w.clock.timers) == 1
        w.scheduler.expire("a")
        await settle()
        assert w.clock.timers == []
