"""Attempts to load a model: what to do for the first request that waits, and what follows from how it ended.

`plan.decide` says what to do, `ladder.next_rung` what to give up after one that ran out of memory. Only the owner task
in loop.py calls this.
"""

import structlog

from scheduler import offload
from scheduler.clock import Clock
from scheduler.devices import Devices
from scheduler.errors import GpuRequired, LoadFailed, SchedulerError, SpareHung
from scheduler.fleet import Fleet
from scheduler.frames import Loaded
from scheduler.keepalive import Stay
from scheduler.ladder import next_rung
from scheduler.line import Line
from scheduler.ping import Ping
from scheduler.plan import Evict, Refuse, Start, Survey, Target, decide, environment, load_frame
from scheduler.ports import Spawner
from scheduler.record import Record, Ticket
from scheduler.requests import Limits
from scheduler.shortage import shortage
from scheduler.sight import Sight

_log = structlog.get_logger(__name__)


class Attempts:
    """One at a time, for whoever is first in the line."""

    def __init__(
        self,
        fleet: Fleet,
        line: Line,
        sight: Sight,
        *,
        limits: Limits,
        devices: Devices,
        spawn: Spawner,
        clock: Clock,
    ) -> None:
        self._fleet, self._line, self._sight = fleet, line, sight
        self._limits, self._devices, self._spawn, self._clock = limits, devices, spawn, clock

    def step(self, first: Ticket, *, most: int) -> bool:
        """One step for the first request; whether the next one may follow at once. `most` models may be loaded."""
        target = Target(first.request, first.spec, first.ladder)
        residents = [record.resident() for record in self._fleet.ready.values()]
        decision = decide(target, residents, self._sight.fresh, limits=self._limits, most=most)
        match decision:
            case Survey():
                self._sight.looking = True
                self._fleet.run(self._sight.look())
            case Refuse(error):
                self._line.fail(first, error)
                return True
            case Evict(keys):
                self._line.must_leave(keys)
                for record in [one for one in self._fleet.idle() if one.key in keys]:
                    _log.info("unloading a model to make room", model=record.request.model.name)
                    self._fleet.retire(record)
            case Start(placement):
                if refusal := offload.refusal(self._limits, target.spec, placement, self._sight.fresh):
                    self._line.fail(first, refusal)
                    return True
                self._begin(target, decision, first)
        return False

    def _begin(self, target: Target, start: Start, starter: Ticket) -> None:
        assert self._sight.fresh is not None, "a load is planned on a survey"
        placement, model = start.placement, target.request.model.name
        if placement.kv_complaint:
            _log.warning(placement.kv_complaint, model=model, type=self._limits.kv_cache_type, used=placement.kv_type)
        load = load_frame(target, placement, self._sight.fresh, self._limits)
        runner = self._spawn(load, environment(placement))
        record = Record(
            request=target.request,
            spec=target.spec,
            placement=placement,
            ladder=start.ladder,
            load=load,
            runner=runner,
            ping=Ping(runner, self._clock),
            stay=Stay.of(target.request.keep_alive, self._limits.keep_alive),
            starter=starter,
        )
        self._sight.forget()
        self._fleet.begin(record)

    # -- how it ended ---------------------------------------------------------------------------------------------

    def succeeded(self, record: Record, info: Loaded) -> bool:
        """The engine has the model; whether it is taken like this. Who started it has it then."""
        if record is not self._fleet.loading:
            return False  # given up meanwhile; it is being stopped
        if offload.fell_back(record.placement, info):
            if self._limits.require_gpu:
                self.failed(record, GpuRequired(offload.NOT_USED))
                return False
            self._devices.suspect(offload.NOT_USED)
        self._fleet.publish(record, info)
        self._note(record, info)
        starter, record.starter = record.starter, None
        if starter is not None and starter in self._line:
            # It gets what it started, whatever the engine made of the options: asking again would load for ever.
            self._line.leave(starter)
            self._line.grant(starter, record, first=True)
        return True

    def _note(self, record: Record, info: Loaded) -> None:
        model, asked = record.request.model.name, record.load.kv_cache_type
        if info.kv_cache_type not in ("", asked):
            told = "the engine refused the KV cache type for this model"
            _log.warning(told, model=model, type=asked, used=info.kv_cache_type)
        reduced = record.ladder.reductions(record.spec.num_ctx)
        _log.info("model loaded", model=model, num_ctx=info.num_ctx, reduced=reduced)

    def failed(self, record: Record, error: SchedulerError) -> None:
        """It is tried again with less, or elsewhere; else those who wait for it are told."""
        if record is not self._fleet.loading:
            return
        self._fleet.abandon(record)
        model = record.request.model.name
        if isinstance(error, SpareHung):
            _log.warning("the runner in reserve does not answer; starting another", model=model, pid=record.runner.pid)
            return
        if isinstance(error, LoadFailed) and error.out_of_memory:
            if self._climb_down(record):
                return
            error = shortage(record.placement, error.message)
        elif isinstance(error, LoadFailed) and error.unsupported:
            error = error.suggesting_pull(model)
        _log.error("model failed to load", model=model, error=str(error))
        elsewhere = offload.blames_gpu(record.placement, error)
        if elsewhere:
            self._devices.suspect(str(error))
        for ticket in self._line.wanting(record):
            if elsewhere and not ticket.retried:
                ticket.retried = True  # once more, on what is left
            else:
                self._line.fail(ticket, error)

    def _climb_down(self, record: Record) -> bool:
        """Let those who wait for a load that ran out of memory try again with less; whether there is less."""
        placement = record.placement
        rung = next_rung(
            record.ladder,
            projector_on_gpu=placement.projector_on_gpu,
            idle_others=bool(self._fleet.idle()),
            num_ctx=placement.num_ctx,
            num_ctx_auto=record.spec.num_ctx_auto,
            gpu_layers=placement.gpu_layers,
            num_gpu_auto=record.spec.num_gpu < 0,
        )
        if rung is None:
            return False
        _log.warning("out of memory while loading; trying with less", model=record.request.model.name, next=rung)
        for ticket in self._line.wanting(record):
            ticket.ladder = rung
        return True
