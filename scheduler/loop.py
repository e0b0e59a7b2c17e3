"""The owner of all scheduling state: who waits, and what is loaded, being loaded or being stopped.

    lease() ─▶ inbox ─▶ owner task ─▶ grant          the model is loaded as the request needs it
                 ▲          │
                 │          ├─▶ survey ┐              ask the devices
                 │          ├─▶ load   ┤ effects      start a runner and wait until it is ready
                 │          └─▶ end    ┤              stop one and wait for its memory
                 └─────────────────────┘ report back

One task reads the inbox and handles one message at a time, synchronously: nothing it touches can change under it, so
nothing is locked. Whatever takes time runs as a task of its own and reports back by message. At most one load is in
flight, and none starts while a runner is being stopped. An idle scheduler sleeps: only keep-alive timers wake it.

    line.Line            the requests that wait, and who of them is served
    attempts.Attempts    loads for the first of them
    fleet.Fleet          the runners there are
    sight.Sight          what is known of the machine

What to do is decided by pure functions: `plan.decide`, `queue.servable`, `ladder.next_rung`, `spec.difference`.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial

import structlog

from scheduler.attempts import Attempts
from scheduler.clock import Clock, LoopClock, Timer
from scheduler.devices import Devices, Snapshot
from scheduler.devices.probe import SystemDevices
from scheduler.errors import RunnerDied, SchedulerError, ShuttingDown
from scheduler.faults import blames_device, tells_of_memory
from scheduler.fleet import Fleet
from scheduler.frames import Loaded
from scheduler.launch import visible_devices
from scheduler.lease import Lease
from scheduler.line import Line
from scheduler.plan import environment, loaded_limit
from scheduler.ports import Spawner
from scheduler.record import Record, State, Ticket
from scheduler.requests import LeaseRequest, Limits, LoadedModel
from scheduler.sight import Sight
from scheduler.spawner import RunnerSpawner
from scheduler.spec import default_context, resolve

_log = structlog.get_logger(__name__)


class Scheduler:
    """Leases loaded models. Everything public may be called from the event loop's thread only."""

    def __init__(
        self,
        limits: Limits,
        *,
        devices: Devices | None = None,
        spawn: Spawner | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.limits = limits
        self._clock: Clock = clock or LoopClock()
        self._devices: Devices = devices or SystemDevices()
        self._spawn: Spawner = spawn or RunnerSpawner(
            load_timeout=limits.load_timeout, clock=self._clock, spare=limits.spare
        )
        self._inbox: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._owner: asyncio.Task[None] | None = None
        self._most = loaded_limit(limits, 0)
        self._tier = default_context((), 0)
        # What follows belongs to the owner task.
        self._fleet = Fleet(self._devices, self._clock, self._post, self)
        self._sight = Sight(self._devices, self._post)
        self._line = Line(self._fleet, self._sight, limits.max_queue, self._post, self)
        self._attempts = Attempts(
            self._fleet,
            self._line,
            self._sight,
            limits=limits,
            devices=self._devices,
            spawn=self._spawn,
            clock=self._clock,
        )
        self._cut_timer: Timer | None = None

    # -- for the server -------------------------------------------------------------------------------------------

    async def start(self) -> Snapshot:
        """Look at the machine and begin to serve; returns what was found."""
        found = await self._sight.first()
        self._most = loaded_limit(self.limits, len(found.gpus))
        self._tier = default_context(found.gpus, self.limits.gpu_overhead)
        total_vram = sum(gpu.total for gpu in found.gpus)
        _log.info("vram-based default context", total_vram=total_vram, default_num_ctx=self._tier)
        self._owner = asyncio.create_task(self._own(), name="scheduler")
        self._spawn.warm(visible_devices(found.gpus[:1]))
        return found

    async def stop(self, drain: float = 0.0) -> None:
        """Refuse new work, give running requests `drain` seconds, and end every runner.

        A second call, also while the first waits, sets a new time.
        """
        if self._owner is not None:
            self._post(self._on_stop, drain)
            await asyncio.shield(self._owner)

    async def lease(self, request: LeaseRequest) -> Lease:
        """Wait until the model is loaded as the request needs it. Cancelling withdraws the request.

        Raises `QueueFull`, `ShuttingDown`, `WeightsMissing`, `LoadFailed`.
        """
        while True:
            lease, record = await self._wait(request)
            try:
                answers = await record.ping.answered()
            except BaseException:
                lease.release()
                raise
            if answers:
                return lease
            self._post(self.on_died, record, RunnerDied("no answer"))
            lease.release()

    async def _wait(self, request: LeaseRequest) -> tuple[Lease, Record]:
        if self._fleet.closing:
            raise ShuttingDown
        answer: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        ticket = Ticket(request, answer, resolve(request, self.limits, self._tier))
        self._post(self._on_ask, ticket)
        try:
            lease = await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                answer.result().release()  # it came in the same instant as the cancellation
            self._post(self._on_withdraw, ticket)
            raise
        assert ticket.granted is not None, "a lease is on something"
        return lease, ticket.granted

    def expire(self, key: str) -> None:
        """Unload a model once the requests on it have ended; nothing happens if it is not loaded."""
        self._post(self._on_expire, key)

    def loaded(self) -> list[LoadedModel]:
        """The models that are ready, the one that stays longest first. Never waits."""
        wall = self._clock.wall()
        rows = [record.row(wall) for record in self._fleet.ready.values()]
        return sorted(rows, key=lambda row: math.inf if row.expires_at is None else int(row.expires_at), reverse=True)

    @property
    def default_context(self) -> int:
        """Context of a request that names none."""
        return self.limits.context_length if self.limits.context_length > 0 else self._tier

    # -- the owner task -------------------------------------------------------------------------------------------

    def _post(self, handler: Callable[..., None], *args: object) -> None:
        self._inbox.put_nowait(partial(handler, *args))

    async def _own(self) -> None:
        while not (self._fleet.closing and self._fleet.empty):
            message = await self._inbox.get()
            self._handle(message)
        self._fleet.close()
        while not self._inbox.empty():
            self._handle(self._inbox.get_nowait())
        await self._spawn.close()

    def _handle(self, message: Callable[[], None]) -> None:
        try:
            message()
            self._work()
        except Exception:
            # One request's trouble must not stop the service of all others.
            _log.exception("scheduler message failed")

    # -- messages of requests -------------------------------------------------------------------------------------

    def _on_ask(self, ticket: Ticket) -> None:
        if ticket.answer.done():
            return
        if self._fleet.closing:
            ticket.answer.set_exception(ShuttingDown())
            return
        self._line.enter(ticket)

    def _on_withdraw(self, ticket: Ticket) -> None:
        self._line.leave(ticket)
        loading = self._fleet.loading
        if loading is not None and not self._line.wanting(loading):
            _log.info("load canceled: nobody waits for it", model=loading.request.model.name)
            self._fleet.abandon(loading)

    def on_release(self, record: Record) -> None:
        """`line.Tenants`"""
        record.refs -= 1
        assert record.refs >= 0, "a lease is released once"
        if record.refs == 0 and record.state is State.READY:
            self._fleet.settle(record)

    def _on_expire(self, key: str) -> None:
        for record in (self._fleet.ready.get(key), self._fleet.loading):
            if record is not None and record.key == key:
                self._fleet.expire(record)

    def on_out_of_memory(self) -> None:
        """`line.Tenants`"""
        _log.warning("runtime OOM detected; expiring loaded models to clear memory before next request")
        for record in list(self._fleet.ready.values()):
            self._fleet.expire(record)

    def _on_stop(self, drain: float) -> None:
        self._fleet.closing = True
        self._line.fail_all(ShuttingDown)
        if self._fleet.loading is not None:
            self._fleet.abandon(self._fleet.loading)
        for record in self._fleet.idle():
            self._fleet.retire(record)
        if self._cut_timer is not None:
            self._cut_timer.cancel()
        if drain > 0:
            self._cut_timer = self._clock.call_later(drain, lambda: self._post(self._on_cut))
        else:
            self._on_cut()

    def _on_cut(self) -> None:
        for record in list(self._fleet.ready.values()):
            self._fleet.retire(record, grace=0.0, reason=ShuttingDown())
        self._fleet.hurry()

    # -- messages of effects --------------------------------------------------------------------------------------

    def on_loaded(self, record: Record, info: Loaded) -> None:
        """`fleet.Reports`"""
        if not self._attempts.succeeded(record, info):
            return
        self._work()
        if record.refs == 0 and record.state is State.READY:
            self._fleet.settle(record)
        self._spawn.warm(environment(record.placement))

    def on_load_failed(self, record: Record, error: SchedulerError) -> None:
        """`fleet.Reports`"""
        self._attempts.failed(record, error)

    def on_died(self, record: Record, error: RunnerDied) -> None:
        """`fleet.Reports`, `line.Tenants`"""
        if record.state is State.READY:
            _log.error("model runner has ended", model=record.request.model.name, error=error.detail)
            if record.placement.gpus and blames_device(error.detail):
                self._devices.suspect(error.detail)
            self._fleet.retire(record, grace=0.0, reason=error)
            if tells_of_memory(error.detail):
                self.on_out_of_memory()

    def on_gone(self) -> None:
        """`fleet.Reports`"""
        self._sight.forget()

    # -- serving the queue ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Grant whatever can be granted, then take the next step for the first request that cannot."""
        while self._line:
            self._line.serve()
            if not self._line or self._sight.looking or self._fleet.stopping or self._fleet.loading is not None:
                return
            first = self._line.first
            try:
                if not self._attempts.step(first, most=self._most):
                    break
            except Exception as error:
                _log.exception("a request could not be scheduled")
                self._line.fail(first, SchedulerError(str(error)))
        self._line.serve()
        if not self._line:
            self._sight.forget()
