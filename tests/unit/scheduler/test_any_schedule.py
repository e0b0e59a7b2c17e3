"""Whatever clients, runners, devices and the clock do, in whatever order: everyone is answered once, and the books
balance.

The machine knows what its clients hold and checks the scheduler against it after every step. At the end all goes well
for a while: then everyone has been answered, and nothing is left over.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from scheduler.errors import LoadFailed, RunnerFailed, SchedulerError
from scheduler.lease import Generation, Lease
from scheduler.requests import FOREVER, Limits
from tests.unit.scheduler.fakes import GB, FakeRunner, World, cuda, world

MODELS = "abcd"
TURNS = st.integers(0, 7)
"""Turns of the event loop between two events."""
WHICH = st.integers(0, 7)
FORESEEN = {"unable to refresh free memory", "unable to refresh free memory, using old values"}
"""Complaints with a traceback that are no fault of the scheduler."""


async def read(generation: Generation) -> None:
    async for _ in generation:
        pass


class Schedules(RuleBasedStateMachine):
    """Clients, runners, devices and time, each with a will of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.complaints = self.closing.enter_context(capture_logs())
        self.loop = self.closing.enter_context(asyncio.Runner()).get_loop()
        self.world = AsyncExitStack()
        self.asked: list[asyncio.Task[Lease]] = []
        self.released: set[asyncio.Task[Lease]] = set()
        self.readers: list[asyncio.Task[None]] = []
        self.stopping: asyncio.Task[None] | None = None
        self.events = 0

    @initialize(
        most=st.integers(0, 3),
        parallel=st.sampled_from([0, 1, 2]),
        capacity=st.sampled_from([1, 4, 512]),
        gpus=st.integers(0, 1),
        hold=st.booleans(),
    )
    def begin(self, most: int, parallel: int, capacity: int, gpus: int, hold: bool) -> None:
        """`hold`: loads take until somebody ends them."""
        limits = Limits(keep_alive=5.0, max_loaded=most, num_parallel=parallel, max_queue=capacity)
        self.limits, self.most = limits, most or 3
        opened = world(*[cuda(20 * GB)] * gpus, limits=limits, hold=hold)
        self.w: World = self.loop.run_until_complete(self.world.enter_async_context(opened))
        self.w.spawn.use = dict.fromkeys(MODELS, 6 * GB)

    # -- what is there ----------------------------------------------------------------------------------------------

    @property
    def pending(self) -> list[FakeRunner]:
        return [runner for runner in self.w.spawn.runners if not runner.outcome.done() and runner.alive]

    @property
    def serving(self) -> list[FakeRunner]:
        return [runner for runner in self.w.spawn.runners if runner.alive and runner.outcome.done()]

    @property
    def held(self) -> list[Lease]:
        """Leases that clients have and have not given back."""
        return [task.result() for task in self.asked if task not in self.released and granted(task)]

    def happen(self, event: Callable[[], object], turns: int) -> None:
        async def act() -> None:
            event()
            for _ in range(turns):
                await asyncio.sleep(0)

        self.events += 1
        self.loop.run_until_complete(act())

    # -- clients ----------------------------------------------------------------------------------------------------

    @rule(
        model=st.sampled_from(MODELS),
        keep=st.sampled_from([None, 0.0, 5.0, FOREVER]),
        num_thread=st.sampled_from([0, 0, 0, 1]),
        turns=TURNS,
    )
    def ask(self, model: str, keep: float | None, num_thread: int, turns: int) -> None:
        wish: dict[str, object] = {"keep_alive": keep, "num_thread": num_thread}
        wish |= {"weights_bytes": 6 * GB, "block_count": 1}
        self.happen(lambda: self.asked.append(self.w.ask(model, **wish)), turns)

    @precondition(lambda self: self.asked)
    @rule(which=WHICH, turns=TURNS)
    def leave(self, which: int, turns: int) -> None:
        """A client ends, or hangs up wherever it is."""
        task = self.asked[which % len(self.asked)]
        self.happen(lambda: self._let_go(task), turns)

    def _let_go(self, task: asyncio.Task[Lease]) -> None:
        task.cancel()
        if granted(task):
            self.released.add(task)
            task.result().release()

    @precondition(lambda self: self.held)
    @rule(which=WHICH, turns=TURNS)
    def generate(self, which: int, turns: int) -> None:
        generation = self.held[which % len(self.held)].generate(prompt="x")
        self.happen(lambda: self.readers.append(asyncio.create_task(read(generation))), turns)

    @precondition(lambda self: self.readers)
    @rule(which=WHICH, turns=TURNS)
    def stop_reading(self, which: int, turns: int) -> None:
        self.happen(self.readers[which % len(self.readers)].cancel, turns)

    @rule(model=st.sampled_from(MODELS), turns=TURNS)
    def unload(self, model: str, turns: int) -> None:
        self.happen(lambda: self.w.scheduler.expire(model), turns)

    # -- runners ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.pending)
    @rule(
        error=st.sampled_from([None, None, LoadFailed("odd"), LoadFailed("out of memory", out_of_memory=True)]),
        turns=TURNS,
    )
    def end_load(self, error: LoadFailed | None, turns: int) -> None:
        runner = self.pending[0]
        self.happen(lambda: runner.finish_load(error), turns)

    @precondition(lambda self: self.w.spawn.streams)
    @rule(
        what=st.sampled_from(["say", "finish", "fail", "starve"]),
        which=WHICH,
        turns=TURNS,
    )
    def answer(self, what: str, which: int, turns: int) -> None:
        stream = self.w.spawn.streams[-1 - which % len(self.w.spawn.streams)]
        match what:
            case "say":
                self.happen(lambda: stream.say("word"), turns)
            case "finish":
                self.happen(stream.finish, turns)
            case "fail":
                self.happen(lambda: stream.fail(RunnerFailed("odd")), turns)
            case _:
                self.happen(lambda: stream.fail(RunnerFailed("CUDA error: out of memory")), turns)

    @precondition(lambda self: self.serving)
    @rule(which=WHICH, detail=st.sampled_from(["signal: killed", "CUDA error: out of memory"]), turns=TURNS)
    def die(self, which: int, detail: str, turns: int) -> None:
        runner = self.serving[which % len(self.serving)]
        self.happen(lambda: runner.die(detail), turns)

    @precondition(lambda self: self.serving)
    @rule(which=WHICH, mute=st.booleans(), turns=TURNS)
    def fall_silent(self, which: int, mute: bool, turns: int) -> None:
        runner = self.serving[which % len(self.serving)]
        runner.silence, runner.mute = 60.0, runner.mute or mute
        self.happen(lambda: None, turns)

    # -- the rest of the world --------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.3, 1.0, 5.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(self.w.clock.advance(seconds))

    @rule(broken=st.booleans(), lingers=st.booleans(), hold_stops=st.booleans())
    def disturb(self, broken: bool, lingers: bool, hold_stops: bool) -> None:
        """Devices that do not tell, memory that stays used, runners that take their time to go."""
        self.w.devices.broken, self.w.spawn.lingers = broken, lingers
        if hold_stops:
            self.w.spawn.hold_stops = True
        else:
            self._calm()

    def _calm(self) -> None:
        async def resume() -> None:
            self.w.spawn.hold_stops = False
            self.w.spawn.stops.set()
            await asyncio.sleep(0)
            self.w.spawn.stops.clear()

        self.loop.run_until_complete(resume())

    @precondition(lambda self: self.events > 25)
    @rule(drain=st.sampled_from([0.0, 8.0]), turns=TURNS)
    def shut_down(self, drain: float, turns: int) -> None:
        def stop() -> None:
            self.stopping = asyncio.create_task(self.w.scheduler.stop(drain))

        self.happen(stop, turns)

    # -- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def nothing_goes_wrong_inside(self) -> None:
        """No count below zero, nobody answered twice: either would be an exception."""
        odd = [one for one in self.complaints if one.get("exc_info") and one["event"] not in FORESEEN]
        assert odd == []

    @invariant()
    def no_more_than_allowed(self) -> None:
        if not hasattr(self, "w"):
            return
        assert len(self.w.scheduler.loaded()) <= self.most
        assert len(self.w.spawn.running) <= self.most, "not even while one goes for another"
        assert len(self.pending) <= 1, "one load at a time"
        assert all(runner.most_open <= (self.limits.num_parallel or 4) for runner in self.w.spawn.runners)

    @invariant()
    def what_is_held_stays(self) -> None:
        for lease in self.held:
            assert isinstance(lease.runner, FakeRunner)
            assert 0 <= lease.places.free <= lease.parallel
            if lease.runner.stopped:
                lost = not lease.runner.died and not lease.runner.mute and self.stopping is None
                assert not lost, "a model in use was unloaded"

    # -- the end ----------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "w"):
                self.loop.run_until_complete(self._finish())
                self.loop.run_until_complete(self.world.aclose())
                self.nothing_goes_wrong_inside()
                assert self.w.clock.timers == []
        finally:
            self.closing.close()

    async def _finish(self) -> None:
        """From here on all goes well."""
        w = self.w
        w.devices.broken = w.spawn.lingers = w.spawn.hold = w.spawn.hold_stops = False
        w.spawn.stops.set()
        for _ in range(100):
            for runner in w.spawn.runners:
                runner.finish_load()
            for stream in w.spawn.streams:
                stream.finish()
            await w.clock.advance(6.0)
            if all(task.done() for task in self.readers):
                self._give_back()
                if all(task.done() for task in self.asked):
                    break
        tasks: list[asyncio.Task[Any]] = [*self.asked, *self.readers]
        assert all(task.done() for task in tasks), "somebody waits for ever"
        errors = [task.exception() for task in tasks if not task.cancelled()]
        assert all(error is None or isinstance(error, SchedulerError) for error in errors)
        for name in MODELS:
            w.scheduler.expire(name)
        await w.clock.advance(6.0)
        assert w.loaded == []
        assert w.spawn.running == []

    def _give_back(self) -> None:
        """Clients that have read everything hold no place."""
        for lease in self.held:
            assert lease.places.free == lease.parallel or not lease.runner.alive
            lease.release()
        self.released |= set(filter(granted, self.asked))


def granted(task: asyncio.Task[Lease]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


class TestAnySchedule(Schedules.TestCase):
    """A few of them with every run of the tests."""

    settings = settings(max_examples=40, stateful_step_count=40)


@pytest.mark.long
@pytest.mark.timeout(600)
class TestManySchedules(Schedules.TestCase):
    """Many, and longer ones."""

    settings = settings(max_examples=500, stateful_step_count=60)
