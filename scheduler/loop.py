"""The owner of all scheduling state: who waits, and what is loaded, being loaded or being stopped.

    lease() ─▶ inbox ─▶ owner task ─▶ grant          the model is loaded as the request needs it
                 ▲          │
                 │          ├─▶ survey ┐              ask the devices
                 │          ├─▶ load   ┤ effects      start a runner and wait until it is ready
                 │          └─▶ end    ┤              stop one and wait for its memory
                 └─────────────────────┘ report back

One task reads the inbox and handles one message at a time, synchronously: nothing it touches can change under it, so
nothing is locked. Whatever takes time runs as a task of its own and reports back by message. What to do is decided by
pure functions: `plan.decide`, `queue.servable`, `ladder.next_rung`, `spec.difference`. At most one load is in flight,
and none starts while a runner is being stopped. An idle scheduler sleeps: keep-alive timers are its only alarms.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial

import structlog

from scheduler import offload, queue
from scheduler.clock import Clock, LoopClock, Timer
from scheduler.devices import Devices, Snapshot
from scheduler.devices.probe import SystemDevices
from scheduler.errors import (
    GpuRequired,
    InsufficientMemory,
    LoadFailed,
    QueueFull,
    RunnerDied,
    SchedulerError,
    ShuttingDown,
)
from scheduler.faults import blames_device, tells_of_memory
from scheduler.fleet import Fleet
from scheduler.frames import Loaded
from scheduler.keepalive import Stay
from scheduler.ladder import next_rung
from scheduler.launch import visible_devices
from scheduler.lease import Lease, Tenancy
from scheduler.ping import Ping
from scheduler.plan import Evict, Refuse, Start, Survey, Target, decide, environment, load_frame, loaded_limit
from scheduler.ports import Spawner
from scheduler.record import Record, State, Ticket
from scheduler.requests import LeaseRequest, Limits, LoadedModel
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
        self._queue: list[Ticket] = []
        self._surveying = False
        self._found: Snapshot | None = None
        """The machine as last seen."""
        self._snapshot: Snapshot | None = None
        """The same, while the first of the queue may be planned for on it."""
        self._decided: frozenset[str] | None = None
        """Models that must leave for the first of the queue, as last decided."""
        self._cut_timer: Timer | None = None

    # -- for the server -------------------------------------------------------------------------------------------

    async def start(self) -> Snapshot:
        """Look at the machine and begin to serve; returns what was found."""
        self._found = found = await self._devices.refresh()
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
        record = self._serving(ticket)
        if record is not None and self._passes(record):
            self._grant(ticket, record)
        elif queue.admits(len(self._queue), self.limits.max_queue):
            self._queue.append(ticket)
        else:
            ticket.answer.set_exception(QueueFull(self.limits.max_queue))

    def _on_withdraw(self, ticket: Ticket) -> None:
        if ticket in self._queue:
            self._leave_queue(ticket)
        loading = self._fleet.loading
        if loading is not None and not any(one.wants(loading) for one in self._queue):
            _log.info("load canceled: nobody waits for it", model=loading.request.model.name)
            self._fleet.abandon(loading)

    def _on_release(self, record: Record) -> None:
        record.refs -= 1
        assert record.refs >= 0, "a lease is released once"
        if record.refs == 0 and record.state is State.READY:
            self._fleet.settle(record)

    def _on_expire(self, key: str) -> None:
        for record in (self._fleet.ready.get(key), self._fleet.loading):
            if record is not None and record.key == key:
                self._fleet.expire(record)

    def _on_out_of_memory(self) -> None:
        _log.warning("runtime OOM detected; expiring loaded models to clear memory before next request")
        for record in list(self._fleet.ready.values()):
            self._fleet.expire(record)

    def _on_stop(self, drain: float) -> None:
        self._fleet.closing = True
        for ticket in list(self._queue):
            self._fail(ticket, ShuttingDown())
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

    async def _survey(self) -> None:
        try:
            self._found = await self._devices.refresh()
        except Exception:
            _log.exception("unable to refresh free memory, using old values")
        self._post(self._on_surveyed)

    def _on_surveyed(self) -> None:
        self._surveying = False
        self._snapshot = self._found if self._queue else None

    def on_loaded(self, record: Record, info: Loaded) -> None:
        """`fleet.Reports`"""
        if record is not self._fleet.loading:
            return  # given up meanwhile; it is being stopped
        if offload.fell_back(record.placement, info):
            if self.limits.require_gpu:
                self.on_load_failed(record, GpuRequired(offload.NOT_USED))
                return
            self._devices.suspect(offload.NOT_USED)
        self._fleet.publish(record, info)
        reduced = record.ladder.reductions(record.spec.num_ctx)
        _log.info("model loaded", model=record.request.model.name, num_ctx=info.num_ctx, reduced=reduced)
        starter, record.starter = record.starter, None
        if starter is not None and starter in self._queue:
            # It gets what it started, whatever the engine made of the options: asking again would load for ever.
            self._leave_queue(starter)
            self._grant(starter, record, first=True)
        self._work()
        if record.refs == 0 and record.state is State.READY:
            self._fleet.settle(record)
        self._spawn.warm(environment(record.placement))

    def on_load_failed(self, record: Record, error: SchedulerError) -> None:
        """`fleet.Reports`"""
        if record is not self._fleet.loading:
            return
        self._fleet.abandon(record)
        if isinstance(error, LoadFailed) and error.out_of_memory:
            if self._climb_down(record):
                return
            placement = record.placement
            error = InsufficientMemory(placement.predicted, placement.room, detail=error.message)
        elif isinstance(error, LoadFailed) and error.unsupported:
            error = error.suggesting_pull(record.request.model.name)
        _log.error("model failed to load", model=record.request.model.name, error=str(error))
        elsewhere = offload.blames_gpu(record.placement, error)
        if elsewhere:
            self._devices.suspect(str(error))
        for ticket in [one for one in self._queue if one.wants(record)]:
            if elsewhere and not ticket.retried:
                ticket.retried = True  # once more, on what is left
            else:
                self._fail(ticket, error)

    def _climb_down(self, record: Record) -> bool:
        """Let those who wait for a load that ran out of memory try again with less; whether there is less."""
        rung = next_rung(
            record.ladder,
            idle_others=bool(self._fleet.idle()),
            num_ctx=record.placement.num_ctx,
            num_ctx_auto=record.spec.num_ctx_auto,
            gpu_layers=record.placement.gpu_layers,
            num_gpu_auto=record.spec.num_gpu < 0,
        )
        if rung is None:
            return False
        _log.warning("out of memory while loading; trying with less", model=record.request.model.name, next=rung)
        for ticket in self._queue:
            if ticket.wants(record):
                ticket.ladder = rung
        return True

    def on_died(self, record: Record, error: RunnerDied) -> None:
        """`fleet.Reports`"""
        if record.state is State.READY:
            _log.error("model runner has ended", model=record.request.model.name, error=error.detail)
            if record.placement.gpus and blames_device(error.detail):
                self._devices.suspect(error.detail)
            self._fleet.retire(record, grace=0.0, reason=error)
            if tells_of_memory(error.detail):
                self._on_out_of_memory()

    def on_gone(self) -> None:
        """`fleet.Reports`"""
        self._snapshot = None

    # -- serving the queue ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Grant whatever can be granted, then take the next step for the first request that cannot."""
        while self._queue:
            self._grant_servable()
            if not self._queue or self._surveying or self._fleet.stopping or self._fleet.loading is not None:
                return
            first = self._queue[0]
            try:
                if not self._step(first):
                    break
            except Exception as error:
                _log.exception("a request could not be scheduled")
                self._fail(first, SchedulerError(str(error)))
        self._grant_servable()

    def _step(self, first: Ticket) -> bool:
        """One step for the first request; whether the next one may follow at once."""
        target = Target(first.request, first.spec, first.ladder)
        residents = [record.resident() for record in self._fleet.ready.values()]
        decision = decide(target, residents, self._snapshot, limits=self.limits, most=self._most)
        match decision:
            case Survey():
                self._surveying = True
                self._fleet.run(self._survey())
            case Refuse(error):
                self._fail(first, error)
                return True
            case Evict(keys):
                self._decided = frozenset(keys)
                for record in [one for one in self._fleet.idle() if one.key in keys]:
                    _log.info("unloading a model to make room", model=record.request.model.name)
                    self._fleet.retire(record)
            case Start(placement):
                if refusal := offload.refusal(self.limits, target.spec, placement, self._snapshot):
                    self._fail(first, refusal)
                    return True
                self._begin(target, decision, first)
        return False

    def _begin(self, target: Target, start: Start, starter: Ticket) -> None:
        assert self._snapshot is not None, "a load is planned on a survey"
        load = load_frame(target, start.placement, self._snapshot, self.limits)
        runner = self._spawn(load, environment(start.placement))
        record = Record(
            request=target.request,
            spec=target.spec,
            placement=start.placement,
            ladder=start.ladder,
            load=load,
            runner=runner,
            ping=Ping(runner, self._clock),
            stay=Stay.of(target.request.keep_alive, self.limits.keep_alive),
            starter=starter,
        )
        self._snapshot = None
        self._fleet.begin(record)

    def _grant_servable(self) -> None:
        while self._queue:
            first = self._queue[0]
            record = self._serving(first)
            if record is None and not first.answer.done():
                break
            self._leave_queue(first)
            if record is not None:
                self._grant(first, record)
        if not self._queue:
            return
        first = self._queue[0]
        records = [self._serving(ticket) for ticket in self._queue]
        waiting = [
            queue.Waiting(ticket.key, record.placement.parallel if record else None)
            for ticket, record in zip(self._queue, records, strict=True)
        ]
        positions, first.overtaken = queue.servable(waiting, victims=self._victims(), overtaken=first.overtaken)
        for ticket, record in [(self._queue[i], records[i]) for i in positions]:
            if record is not None and record.state is State.READY:  # one of the others may just have been found dead
                self._leave_queue(ticket)
                self._grant(ticket, record)

    def _passes(self, record: Record) -> bool:
        """Whether a request for `record` that comes now may go before all who wait; if so, the first one counts it."""
        if not self._queue:
            return True
        first, victims = self._queue[0], self._victims()
        contested = victims is None or record.key in victims
        passes = queue.passes(record.placement.parallel, contested=contested, overtaken=first.overtaken)
        first.overtaken += passes and contested
        return passes

    def _victims(self) -> frozenset[str] | None:
        """Models that must leave for the first of the queue: none while a load goes on, as that was found to fit; None
        as long as nobody can tell."""
        if self._fleet.loading is not None:
            return frozenset()
        return None if self._fleet.stopping or self._surveying else self._decided

    def _serving(self, ticket: Ticket) -> Record | None:
        """The record that can serve the ticket now."""
        record = self._fleet.ready.get(ticket.key)
        if record is None or not record.serves(ticket):
            return None
        if not record.runner.alive:
            self.on_died(record, RunnerDied())
            return None
        return record

    def _grant(self, ticket: Ticket, record: Record, *, first: bool = False) -> None:
        """Attach a request; the `first` one is the one whose keep-alive the record was made with."""
        if ticket.answer.done():
            return  # cancelled; its withdrawal is on the way
        record.refs += 1
        record.cancel_timer()
        if not first:
            record.stay = record.stay.attached(ticket.request.keep_alive)
        assert record.info is not None, "only a model that is ready is leased"
        tenancy = Tenancy(
            runner=record.runner,
            info=record.info,
            places=record.places,
            parallel=record.placement.parallel,
            shift=record.spec.shift,
            release=lambda: self._post(self._on_release, record),
            out_of_memory=lambda: self._post(self._on_out_of_memory),
        )
        ticket.granted = record
        ticket.answer.set_result(Lease(tenancy))

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        self._leave_queue(ticket)
        if not ticket.answer.done():
            ticket.answer.set_exception(error)

    def _leave_queue(self, ticket: Ticket) -> None:
        if ticket is self._queue[0]:
            self._decided = self._snapshot = None
        self._queue.remove(ticket)
