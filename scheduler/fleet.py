"""The runners there are, from the start of a load until the process is gone.

             begin                publish               retire
    (absent) ─────▶ loading ──────────────▶ ready ─────────────▶ stopping ──▶ (absent)
                       └──────────────── abandon ───────────────────▲

At most one model is loading. A ready model that nobody uses has its keep-alive timer running; it leaves when that
ends, when it is evicted, when somebody asks, or when its process dies. The owner task in loop.py is the only caller;
what takes time runs as a task of its own and comes back to `Reports` by message.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import structlog

from scheduler import recovery
from scheduler.clock import Clock
from scheduler.devices import Devices, Snapshot
from scheduler.errors import LoadFailed, RunnerDied, SchedulerError, WeightsMissing
from scheduler.frames import Loaded
from scheduler.record import Record, State

_log = structlog.get_logger(__name__)

STOP_GRACE: Final = 5.0
"""Seconds a runner has to end by itself."""


class Reports(Protocol):
    """What the fleet's tasks have to say; delivered in the owner task."""

    def on_loaded(self, record: Record, info: Loaded) -> None: ...

    def on_load_failed(self, record: Record, error: SchedulerError) -> None: ...

    def on_died(self, record: Record, error: RunnerDied) -> None: ...

    def on_gone(self) -> None:
        """A runner is gone, and its memory is back."""
        ...


class Fleet:
    """Records by state, and the steps between the states. `post` delivers a call to the owner task."""

    def __init__(self, devices: Devices, clock: Clock, post: Callable[..., None], reports: Reports) -> None:
        self._devices = devices
        self._clock = clock
        self._post = post
        self._reports = reports
        self._effects: set[asyncio.Task[None]] = set()
        self.ready: dict[str, Record] = {}
        self.loading: Record | None = None
        self.stopping: set[Record] = set()
        self.closing = False
        """No model is kept for later."""

    @property
    def empty(self) -> bool:
        return not (self.ready or self.stopping or self.loading)

    def idle(self) -> list[Record]:
        """Ready models that nobody uses."""
        return [record for record in self.ready.values() if record.refs == 0]

    # -- steps ----------------------------------------------------------------------------------------------------

    def begin(self, record: Record) -> None:
        """Start a load."""
        assert self.loading is None, "one load at a time"
        self.loading = record
        self.run(self._load(record))

    def publish(self, record: Record, info: Loaded) -> None:
        """The load has ended well."""
        self.loading = None
        record.info, record.state = info, State.READY
        self.ready[record.key] = record
        record.runner.when_dead(lambda error: self._post(self._reports.on_died, record, error))

    def abandon(self, record: Record) -> None:
        """End a load that failed, or that nobody waits for."""
        self.loading = None
        self._stop(record, grace=0.0, reason=None, settle=False)

    def retire(self, record: Record, *, grace: float = STOP_GRACE, reason: Exception | None = None) -> None:
        """Unload a ready model; requests on it, if it has any, end with `reason`."""
        del self.ready[record.key]
        self._stop(record, grace=grace, reason=reason, settle=reason is None and not self.closing)

    def hurry(self) -> None:
        """Kill whoever is still stopping."""
        for record in self.stopping:
            self.run(record.runner.stop(grace=0.0))

    # -- the stay of a ready model --------------------------------------------------------------------------------

    def settle(self, record: Record) -> None:
        """Nobody uses it any more: it goes now, after its keep-alive, or never."""
        record.cancel_timer()
        record.stay = record.stay.left(self._clock.wall())
        if self.closing or record.stay.keep <= 0:
            self.retire(record)
        elif (delay := record.stay.timer) is not None:
            record.timer = self._clock.call_later(delay, lambda: self._post(self._due, record))

    def expire(self, record: Record) -> None:
        """It goes as soon as nobody uses it."""
        record.stay = record.stay.expired(self._clock.wall())
        record.cancel_timer()
        if record.state is State.READY and record.refs == 0:
            self.retire(record)

    def _due(self, record: Record) -> None:
        if record.state is State.READY and record.refs == 0 and record.timer is not None:
            self.retire(record)

    # -- effects: they wait, and report back ----------------------------------------------------------------------

    def run(self, effect: Coroutine[Any, Any, None]) -> None:
        """Let `effect` run beside the owner task, until the fleet is closed."""
        task = asyncio.get_running_loop().create_task(effect)
        self._effects.add(task)
        task.add_done_callback(self._effects.discard)

    def close(self) -> None:
        """Nothing that still runs matters any more."""
        for task in self._effects:
            task.cancel()

    async def _load(self, record: Record) -> None:
        try:
            info = await record.runner.ready()
        except (LoadFailed, WeightsMissing, RunnerDied) as error:
            self._post(self._reports.on_load_failed, record, error)
        except Exception as error:
            _log.exception("model runner could not be started")
            self._post(self._reports.on_load_failed, record, LoadFailed(str(error)))
        else:
            self._post(self._reports.on_loaded, record, info)

    def _stop(self, record: Record, *, grace: float, reason: Exception | None, settle: bool) -> None:
        record.state = State.STOPPING
        record.cancel_timer()
        record.places.close(reason or RunnerDied())
        self.stopping.add(record)
        self.run(self._end(record, grace, reason, settle))

    async def _end(self, record: Record, grace: float, reason: Exception | None, settle: bool) -> None:
        before = await self._survey() if settle and record.vram > 0 else None
        try:
            await record.runner.stop(grace=grace, reason=reason)
        except Exception:
            _log.exception("model runner could not be stopped")
        if before is not None and recovery.matters(record.placement.usage, before):
            await self._recover(record, before)
        self._post(self._gone, record)

    async def _survey(self) -> Snapshot | None:
        """None when the devices do not tell: the runner has to go all the same."""
        try:
            return await self._devices.refresh()
        except Exception:
            _log.exception("unable to refresh free memory")
            return None

    async def _recover(self, record: Record, before: Snapshot) -> None:
        try:
            if await recovery.recovered(record.vram, before, devices=self._devices, clock=self._clock):
                return
        except Exception:
            _log.exception("unable to refresh free memory")
        _log.warning("gpu VRAM usage didn't recover within timeout", model=record.request.model.name)

    def _gone(self, record: Record) -> None:
        self.stopping.discard(record)
        self._reports.on_gone()
