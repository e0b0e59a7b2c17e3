"""How long models stay."""

import asyncio
import math

import pytest

from scheduler.errors import RunnerFailed
from scheduler.requests import FOREVER, Limits
from tests.unit.scheduler.fakes import WALL, settle, world

pytestmark = pytest.mark.anyio

MINUTE = 60.0


async def test_the_clock_starts_when_the_last_request_ends() -> None:
    """A stays for five minutes: after a request that ends at t, `expires_at` is t + 5 min, and then it is unloaded."""
    async with world(limits=Limits(keep_alive=5 * MINUTE)) as w:
        lease = await w.lease("a")
        await w.clock.advance(10 * MINUTE)
        lease.release()
        await settle()
        assert w.scheduler.loaded()[0].expires_at == WALL + 15 * MINUTE
        await w.clock.advance(5 * MINUTE - 1)
        assert w.loaded == ["a"]
        await w.clock.advance(1)
        assert w.loaded == []
        assert w.spawn.running == []


async def test_a_request_in_the_meantime_starts_it_anew() -> None:
    """A new request at t + 4 min that takes ten minutes: it is not unloaded meanwhile, but five minutes after its
    end."""
    async with world(limits=Limits(keep_alive=5 * MINUTE)) as w:
        (await w.lease("a")).release()
        await w.clock.advance(4 * MINUTE)
        second = await w.lease("a")
        await w.clock.advance(10 * MINUTE)
        assert w.loaded == ["a"]
        assert w.scheduler.loaded()[0].expires_at == WALL + 5 * MINUTE, "the old value while it runs"
        second.release()
        await w.clock.advance(5 * MINUTE - 1)
        assert w.loaded == ["a"]
        await w.clock.advance(1)
        assert w.loaded == []


async def test_zero_unloads_when_the_request_ends() -> None:
    """`keep_alive: 0`: unloaded at once when the request ends."""
    async with world() as w:
        lease = await w.lease("a", keep_alive=0.0)
        assert w.loaded == ["a"]
        lease.release()
        await settle()
        assert w.loaded == []


async def test_a_stay_holds_for_later_requests_without_a_wish() -> None:
    """`keep_alive: "1h"`, then a request without: an hour again."""
    async with world() as w:
        (await w.lease("a", keep_alive=60 * MINUTE)).release()
        (await w.lease("a")).release()
        await settle()
        assert w.scheduler.loaded()[0].expires_at == WALL + 60 * MINUTE


@pytest.mark.parametrize("keep", [FOREVER, -1.0, 1e300])
async def test_for_ever_needs_no_timer(keep: float) -> None:
    """`keep_alive: -1`: no timer is set, and the end shown is none, or far away."""
    async with world() as w:
        (await w.lease("a", keep_alive=keep)).release()
        await settle()
        assert w.clock.timers == []
        expires = w.scheduler.loaded()[0].expires_at
        assert expires is None or math.isclose(expires, 1e300)


async def test_of_overlapping_requests_the_last_to_begin_decides() -> None:
    """Two overlapping requests with keep_alive 0 and then ten minutes: the value attached last rules once both have
    ended."""
    async with world() as w:
        first = await w.lease("a", keep_alive=0.0)
        second = await w.lease("a", keep_alive=10 * MINUTE)
        second.release()
        first.release()
        await settle()
        assert w.scheduler.loaded()[0].expires_at == WALL + 10 * MINUTE


async def test_unloading_a_busy_model_lets_its_requests_finish() -> None:
    """A is asked to unload while busy: it is gone after the running request, and `expires_at` is the moment of
    asking."""
    async with world() as w:
        lease = await w.lease("a")
        await w.clock.advance(7)
        w.scheduler.expire("a")
        await settle()
        assert w.scheduler.loaded()[0].expires_at == WALL + 7
        assert not w.spawn.runners[0].stopped
        lease.release()
        await settle()
        assert w.loaded == []
        assert w.spawn.runners[0].stopped


async def test_unloading_an_idle_model_happens_at_once_and_twice_is_harmless() -> None:
    """An idle model leaves at once; asking again, or for one that is not loaded, changes nothing."""
    async with world() as w:
        (await w.lease("a")).release()
        w.scheduler.expire("a")
        w.scheduler.expire("a")
        w.scheduler.expire("never loaded")
        await settle()
        assert w.loaded == []
        assert w.spawn.runners[0].graces == [5.0]


async def test_a_model_asked_to_leave_while_busy_goes_when_it_is_idle_however_long_that_takes() -> None:
    """The wish to unload stands until the last of the running requests has ended."""
    async with world() as w:
        first, second = await w.lease("a"), await w.lease("a")
        w.scheduler.expire("a")
        w.scheduler.expire("a")
        await w.clock.advance(3600.0)
        first.release()
        await settle()
        assert w.loaded == ["a"]
        second.release()
        await settle()
        assert w.loaded == []
        assert w.clock.timers == []


async def test_a_replaced_runner_ends_and_its_successor_stays() -> None:
    """A has been replaced by A' under the same key: A is gone for good, and what was to expire of it does not touch
    A'."""
    async with world(limits=Limits(keep_alive=5 * MINUTE)) as w:
        (await w.lease("a")).release()
        await w.clock.advance(4 * MINUTE)
        (await w.lease("a", num_thread=2)).release()
        assert w.spawn.runners[0].stopped
        await w.clock.advance(4 * MINUTE)
        assert w.loaded == ["a"]
        assert w.spawn.running == ["a"]


async def test_a_request_that_fails_is_a_use_like_any_other() -> None:
    """The stay begins anew at its end."""
    async with world(limits=Limits(keep_alive=5 * MINUTE)) as w:
        (await w.lease("a")).release()
        await w.clock.advance(4 * MINUTE)
        lease = await w.lease("a")
        reading = asyncio.ensure_future(anext(lease.generate(prompt="x")))
        await settle()
        w.spawn.streams[0].fail(RunnerFailed("no"))
        with pytest.raises(RunnerFailed):
            await reading
        lease.release()
        await w.clock.advance(5 * MINUTE - 1)
        assert w.loaded == ["a"]


async def test_the_end_is_told_as_soon_as_the_request_is_over() -> None:
    """Whoever reads `expires_at` after the answer sees what that request made of it: one turn of the loop is enough."""
    async with world(limits=Limits(keep_alive=5 * MINUTE)) as w:
        (await w.lease("a")).release()
        await w.clock.advance(MINUTE)
        lease = await w.lease("a")
        lease.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert w.scheduler.loaded()[0].expires_at == WALL + 6 * MINUTE


async def test_unloading_during_the_load_waits_for_who_waits() -> None:
    async with world(hold=True) as w:
        task = w.ask("a", keep_alive=100.0)
        await settle()
        w.scheduler.expire("a")
        w.spawn.runners[0].finish_load()
        lease = await task
        lease.release()
        await settle()
        assert w.loaded == []


async def test_releasing_twice_counts_once() -> None:
    async with world() as w:
        first, second = await w.lease("a", keep_alive=0.0), await w.lease("a")
        first.release()
        first.release()
        await settle()
        assert w.loaded == ["a"]
        second.release()
        await settle()
        assert w.loaded == []


async def test_the_end_of_a_request_on_a_replaced_runner_does_not_touch_its_successor() -> None:
    """A is replaced by A' under the same key: the end of a request on A leaves A' as it is, and no count goes below
    zero."""
    async with world() as w:
        old = await w.lease("a")
        w.spawn.runners[0].die()
        new = await w.lease("a", keep_alive=0.0)
        old.release()
        await settle()
        assert w.loaded == ["a"]
        assert w.spawn.running == ["a"]
        new.release()


@pytest.mark.parametrize("steps", range(10))
async def test_a_load_whose_last_waiter_left_as_it_ended_does_not_stay_for_ever(steps: int) -> None:
    async with world(limits=Limits(keep_alive=MINUTE), hold=True) as w:
        task = w.ask("a")
        await settle()
        w.spawn.runners[0].finish_load()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await settle()
        if not task.cancelled():
            task.result().release()
        await w.clock.advance(MINUTE + 1)
        assert w.loaded == []
        assert w.spawn.running == []


async def test_rows_are_sorted_by_whole_seconds_and_only_ready_models_have_one() -> None:
    """A model that is being loaded is not listed, and asking for the list never waits for it."""
    async with world(limits=Limits(max_loaded=9)) as w:
        for name, keep in (("a", 10.2), ("b", FOREVER), ("c", 10.9), ("d", 60.0)):
            (await w.lease(name, keep_alive=keep)).release()
        await settle()
        w.spawn.hold = True
        loading = w.ask("e")
        await settle()
        assert [row.model.key for row in w.scheduler.loaded()] == ["b", "d", "a", "c"]
        loading.cancel()
