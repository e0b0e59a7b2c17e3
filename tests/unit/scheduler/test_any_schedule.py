"""Whatever clients, runners and the clock do, in whatever order: nobody waits for ever and nothing is left over."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.errors import LoadFailed, SchedulerError
from scheduler.lease import Lease
from scheduler.requests import FOREVER, Limits
from tests.unit.scheduler.fakes import World, settle, world

MODELS = ["a", "b", "c", "d"]
STEPS = st.tuples(
    st.sampled_from(
        ["ask", "ask", "glance", "release", "cancel", "loaded", "failed", "starved", "die", "wait", "expire"]
    ),
    st.integers(0, 7),
)


async def act(w: World, asked: list[asyncio.Task[Lease]], step: str, which: int) -> None:
    pending = [runner for runner in w.spawn.runners if not runner.outcome.done()]
    running = [runner for runner in w.spawn.runners if runner.alive and runner.outcome.done()]
    match step:
        case "ask":
            keep = (None, 0.0, 5.0, FOREVER)[which % 4]
            changes: dict[str, object] = {"num_thread": 1} if which > 5 else {}
            asked.append(w.ask(MODELS[which % 4], keep_alive=keep, **changes))
        case "glance":
            asked.append(w.ask(MODELS[which % 2]))
            for _ in range(which // 2):
                await asyncio.sleep(0)
            asked[-1].cancel()
        case "release" | "cancel" if asked:
            task = asked[which % len(asked)]
            task.cancel()
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().release()
        case "loaded" if pending:
            pending[which % len(pending)].finish_load()
        case "failed" if pending:
            pending[which % len(pending)].finish_load(LoadFailed("odd"))
        case "starved" if pending:
            pending[which % len(pending)].finish_load(LoadFailed("out of memory", out_of_memory=True))
        case "die" if running:
            running[which % len(running)].die()
        case "wait":
            await w.clock.advance(which)
        case "expire":
            w.scheduler.expire(MODELS[which % 4])
        case _:
            pass
    for _ in range(which):
        await asyncio.sleep(0)


async def finish(w: World, asked: list[asyncio.Task[Lease]]) -> None:
    """From here on all goes well: everyone who still waits must be served."""
    w.spawn.hold = False
    for _ in range(60):
        for runner in w.spawn.runners:
            runner.finish_load()
        await w.clock.advance(6.0)
        for task in asked:
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().release()
        if all(task.done() for task in asked):
            break
    assert all(task.done() for task in asked), "somebody waits for ever"
    for task in asked:
        if not task.cancelled() and (error := task.exception()) is not None:
            assert isinstance(error, SchedulerError)


@settings(max_examples=200)
@given(
    st.lists(STEPS, min_size=20, max_size=60),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([1, 4, 512]),
)
def test_nobody_waits_for_ever(steps: list[tuple[str, int]], most: int, parallel: int, capacity: int) -> None:
    async def run() -> None:
        limits = Limits(keep_alive=5.0, max_loaded=most, num_parallel=parallel, max_queue=capacity)
        async with world(limits=limits, hold=True) as w:
            asked: list[asyncio.Task[Lease]] = []
            for step, which in steps:
                await act(w, asked, step, which)
                assert len(w.scheduler.loaded()) <= (most or 3)
                loading = [runner for runner in w.spawn.runners if not runner.outcome.done() and runner.alive]
                assert len(loading) <= 1, "one load at a time"
            await finish(w, asked)
            for name in MODELS:
                w.scheduler.expire(name)
            await settle()
            assert w.loaded == []
            assert w.spawn.running == []
            assert w.clock.timers == []

    asyncio.run(run())
