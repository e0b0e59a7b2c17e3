"""Leases, their places, and generations."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import RunnerDied
from scheduler.lease import Places
from scheduler.requests import Limits
from tests.unit.scheduler.fakes import settle, world

pytestmark = pytest.mark.anyio

ONE = Limits(num_parallel=1)


async def test_places_are_given_in_the_order_of_asking() -> None:
    places = Places(1)
    await places.take()
    order: list[int] = []

    async def wait(i: int) -> None:
        await places.take()
        order.append(i)

    tasks = [asyncio.create_task(wait(i)) for i in range(4)]
    await settle()
    tasks[1].cancel()
    for _ in range(3):
        places.give_back()
        await settle()
    assert order == [0, 2, 3]
    places.give_back()
    assert places.free == 1


async def test_a_cancellation_in_the_instant_of_ones_turn_passes_the_place_on() -> None:
    places = Places(1)
    await places.take()
    unlucky, next_one = asyncio.create_task(places.take()), asyncio.create_task(places.take())
    await settle()
    places.give_back()
    unlucky.cancel()
    await asyncio.wait_for(next_one, 1)
    places.give_back()
    assert places.free == 1


async def test_a_closed_queue_turns_everyone_away() -> None:
    places = Places(1)
    await places.take()
    waiting = asyncio.create_task(places.take())
    await settle()
    places.close(RunnerDied("gone"))
    for task in (waiting, asyncio.create_task(places.take())):
        with pytest.raises(RunnerDied):
            await task


@given(
    width=st.integers(1, 3),
    steps=st.lists(st.tuples(st.sampled_from(["take", "cancel", "back", "run"]), st.integers(0, 9)), max_size=40),
)
def test_no_schedule_of_cancellations_loses_or_invents_a_place(width: int, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        places, tasks, given_back = Places(width), list[asyncio.Task[None]](), set[asyncio.Task[None]]()

        def holders() -> list[asyncio.Task[None]]:
            return [one for one in tasks if one.done() and not one.cancelled() and one not in given_back]

        for step, which in steps:
            if step == "take":
                tasks.append(asyncio.create_task(places.take()))
            elif step == "cancel" and tasks:
                tasks[which % len(tasks)].cancel()
            elif step == "back" and (held := holders()):
                given_back.add(held[which % len(held)])
                places.give_back()
            elif step == "run":
                await asyncio.sleep(0)
            assert len(holders()) <= width
        for task in tasks:
            task.cancel()
        await settle()
        for _ in holders():
            places.give_back()
        assert places.free == width

    asyncio.run(run())


async def test_no_more_generations_than_places_reach_the_runner_and_other_work_passes() -> None:
    async with world(limits=Limits(num_parallel=2)) as w, await w.lease("a") as lease:
        generations = [lease.generate(prompt=str(i)) for i in range(4)]
        tasks = [asyncio.ensure_future(anext(one)) for one in generations]
        await settle()
        assert [stream.fields["prompt"] for stream in w.spawn.streams] == ["0", "1"]
        assert await lease.tokenize(["hi"], add_special=True) == [[1, 104, 105]]
        assert await lease.count(["hi", ""]) == [2, 0]
        assert await lease.detokenize([104, 105]) == "hi"
        assert len((await lease.embed(["x", "y"])).vectors) == 2
        w.spawn.streams[1].finish()
        await settle()
        assert [stream.fields["prompt"] for stream in w.spawn.streams] == ["0", "1", "2"]
        assert tasks[1].done()
        for i in (0, 2, 3):
            w.spawn.streams[i].finish()
            await settle()
        assert all(task.done() for task in tasks)


async def test_a_generation_ends_with_done_and_stays_ended() -> None:
    async with world() as w, await w.lease("a") as lease:
        generation = lease.generate(prompt="x")
        first = asyncio.ensure_future(anext(generation))
        await settle()
        stream = w.spawn.streams[0]
        stream.say("a")
        stream.say("b")
        stream.finish()
        assert (await first).deltas[0].text == "a"
        rest = [chunk async for chunk in generation]
        assert [bool(chunk.done) for chunk in rest] == [False, True]
        with pytest.raises(StopAsyncIteration):
            await anext(generation)


async def test_leaving_early_cancels_the_generation_and_frees_its_place() -> None:
    async with world(limits=ONE) as w, await w.lease("a") as lease:
        async with aclosing(lease.generate(prompt="x")) as generation:
            reading = asyncio.ensure_future(anext(generation))
            await settle()
            w.spawn.streams[0].say("a")
            await reading
        assert w.spawn.streams[0].closed
        assert lease.places.free == 1


async def test_the_end_of_the_lease_ends_its_generations_even_forgotten_ones() -> None:
    async with world(limits=ONE) as w:
        lease = await w.lease("a")
        forgotten = lease.generate(prompt="x")
        reading = asyncio.ensure_future(anext(forgotten))
        await settle()
        w.spawn.streams[0].say("a")
        await reading
        never_started = lease.generate(prompt="y")
        lease.release()
        assert w.spawn.streams[0].closed
        assert lease.places.free == 1
        with pytest.raises(StopAsyncIteration):
            await anext(never_started)


async def test_a_generation_closed_while_it_waits_for_its_place_does_not_start() -> None:
    async with world(limits=ONE) as w, await w.lease("a") as first, await w.lease("a") as second:
        reading = asyncio.ensure_future(anext(first.generate(prompt="x")))
        waiting = second.generate(prompt="y")
        turn = asyncio.ensure_future(anext(waiting))
        await settle()
        waiting.close()
        w.spawn.streams[0].finish()
        await reading
        with pytest.raises(StopAsyncIteration):
            await turn
        assert len(w.spawn.streams) == 1
        assert first.places.free == 1


async def test_the_lease_tells_what_was_loaded() -> None:
    async with world(limits=Limits(num_parallel=3)) as w, await w.lease("a") as lease:
        assert (lease.parallel, lease.info.num_ctx, lease.info.eos) == (3, 4096, "</s>")


async def test_a_generation_slides_as_the_lease_does_unless_told_otherwise() -> None:
    async with world() as w, await w.lease("a", families=("deepseek2",)) as lease:
        for generation in (lease.generate(prompt="x"), lease.generate(prompt="y", shift=True)):
            reading = asyncio.ensure_future(anext(generation))
            await settle()
            w.spawn.streams[-1].finish()
            await reading
        assert [stream.fields.get("shift") for stream in w.spawn.streams] == [False, True]
