"""Who waits and who is served: scheduler.loop with requests for several models."""

import asyncio
from contextlib import suppress

import pytest

from scheduler.errors import QueueFull, ShuttingDown, WeightsMissing
from scheduler.lease import Lease
from scheduler.requests import Limits
from tests.unit.scheduler.fakes import settle, wish, world

pytestmark = pytest.mark.anyio


async def test_a_full_queue_refuses_at_once_and_the_one_worked_on_does_not_count() -> None:
    """With room for one, A is worked on, B waits, and C is told at once, in the reference's words (with two spaces),
    that the server is busy; then A loads and is handed over, then B."""
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


async def test_a_queue_of_no_length_is_always_full() -> None:
    """Nobody may wait: every request for a model that is not loaded gets the busy error."""
    async with world(limits=Limits(max_queue=0)) as w:
        for _ in range(3):
            with pytest.raises(QueueFull):
                await w.lease("a")
        assert w.spawn.names == []


async def test_a_loaded_model_is_served_at_once_while_the_queue_is_full() -> None:
    """A is loaded and idle and the queue full of requests for B: a request for A with the same options is served at
    once."""
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
    """A waiting request whose client has gone causes no load, gets no result, and the next one has its turn."""
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
    """A loads slowly and B, small, would fit: B waits until A is there."""
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
    """The weights do not exist: the error mentions the path, and nothing stays loaded."""
    async with world() as w:
        w.spawn.failures = [WeightsMissing("/models/a")]
        with pytest.raises(WeightsMissing, match="/models/a"):
            await w.lease("a")
        await settle()
        assert w.loaded == []
        assert w.spawn.running == []


async def test_a_load_that_nobody_waits_for_is_killed_at_once() -> None:
    """A client disconnects during its load: the runner is killed, nothing is in the table, and the next request
    loads again."""
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
    """The client that began a load leaves while another waits for the same model: the load goes on for that one."""
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
    """Five requests for a model that is being loaded are served by that one load."""
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


async def test_a_place_in_the_queue_is_free_as_soon_as_its_client_has_gone() -> None:
    """It is not the turn of the request that ends its waiting, but the client that leaves."""
    async with world(limits=Limits(max_queue=1), hold=True) as w:
        loading, gone = w.ask("a"), w.ask("b")
        await settle()
        gone.cancel()
        await settle()
        waits = w.ask("c")
        await settle()
        assert not waits.done()
        w.spawn.hold = False
        w.spawn.runners[0].finish_load()
        (await loading).release()
        (await waits).release()
        assert w.spawn.names == ["a", "c"]


async def test_alternating_models_are_served_in_the_order_of_their_coming() -> None:
    """One model at a time, requests for A and B in turn, each ending soon: every one is served, none before its time
    by more than the bound."""
    async with world(limits=Limits(max_loaded=1, num_parallel=1, max_queue=40)) as w:
        served: list[int] = []

        async def client(number: int) -> None:
            async with await w.scheduler.lease(wish("ab"[number % 2])):
                served.append(number)
                await asyncio.sleep(0)

        await asyncio.wait_for(asyncio.gather(*(client(number) for number in range(40))), 5)
        assert sorted(served) == list(range(40))
        for place, number in enumerate(served):
            passed = [other for other in served[:place] if other > number]
            assert len(passed) <= 2 * (number + 1), "each of those before it lets two pass"
        assert served.index(1) <= 3


async def test_a_request_on_a_model_that_must_leave_ends_and_the_waiting_one_is_next() -> None:
    """Requests that come while A drains for B, beyond those that may pass, find A gone and load it again after B."""
    async with world(limits=Limits(max_loaded=1, num_parallel=1)) as w:
        a = await w.lease("a")
        order: list[str] = []

        async def client(name: str) -> None:
            async with await w.scheduler.lease(wish(name)):
                order.append(name)

        tasks = [asyncio.create_task(client(name)) for name in "baaaa"]
        await settle()
        a.release()
        await asyncio.wait_for(asyncio.gather(*tasks), 5)
        assert order == ["a", "a", "b", "a", "a"]


async def test_stop_refuses_who_waits_and_who_comes() -> None:
    """From the first signal on, requests that wait and requests that come are refused."""
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
    """A stream in flight goes on for the time to drain; then it ends with an error, the runner is dead, and stopping
    is over."""
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
    """The second signal cuts."""
    async with world() as w:
        await w.lease("a")
        first = asyncio.create_task(w.scheduler.stop(1000.0))
        await settle()
        assert not first.done()
        await w.scheduler.stop()
        await first
        assert w.spawn.running == []


async def test_a_request_that_comes_while_the_last_processes_end_is_refused_too() -> None:
    """Whoever asks between the last runner's end and that of the scheduler must not wait for an answer for ever."""
    async with world() as w:
        await w.lease("a")
        stopping = asyncio.create_task(w.scheduler.stop())
        late: list[asyncio.Task[Lease]] = []
        while not stopping.done():
            late.append(w.ask("b"))
            await asyncio.sleep(0)
        late.append(w.ask("b"))
        results = await asyncio.wait_for(asyncio.gather(*late, return_exceptions=True), 5)
        assert all(isinstance(result, ShuttingDown) for result in results)


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
