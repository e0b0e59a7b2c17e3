"""The scheduler's own notes: who waits, and what is loaded. Only its owner task changes them."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from scheduler.clock import Timer
from scheduler.frames import Load, Loaded
from scheduler.keepalive import Stay
from scheduler.ladder import UNREDUCED, Ladder
from scheduler.lease import Lease, Places
from scheduler.ping import Ping
from scheduler.placement import Placement
from scheduler.plan import Resident
from scheduler.ports import Runner
from scheduler.requests import LeaseRequest, LoadedModel
from scheduler.sizes import measured
from scheduler.spec import Running, Spec, difference


@dataclass(eq=False, slots=True)
class Ticket:
    """A request that waits for a lease."""

    request: LeaseRequest
    answer: asyncio.Future[Lease]
    spec: Spec
    ladder: Ladder = UNREDUCED
    overtaken: int = 0
    """How many requests for a model that must leave went before it."""
    retried: bool = False
    """Whether a load for it has failed because of a GPU."""
    granted: "Record | None" = None
    """What the lease is on."""

    @property
    def key(self) -> str:
        return self.request.model.key

    def wants(self, record: "Record") -> bool:
        """Whether a load in progress is the one this request would start."""
        return self.key == record.key and self.spec == record.spec


class State(Enum):
    """Of a record: LOADING → READY → STOPPING, or from LOADING straight to STOPPING."""

    LOADING = "loading"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(eq=False, slots=True)
class Record:
    """One runner and the model in it."""

    request: LeaseRequest
    """Of the request that started the load; its name is the one shown."""
    spec: Spec
    placement: Placement
    ladder: Ladder
    load: Load
    runner: Runner
    ping: Ping
    stay: Stay
    starter: Ticket | None
    state: State = State.LOADING
    refs: int = 0
    timer: Timer | None = None
    info: Loaded | None = None
    places: Places = field(init=False)

    def __post_init__(self) -> None:
        self.places = Places(self.placement.parallel)

    @property
    def key(self) -> str:
        return self.request.model.key

    def serves(self, ticket: Ticket) -> bool:
        """Whether the ticket's request can be served as the model is loaded."""
        if self.state is not State.READY or self.key != ticket.key or self.info is None:
            return False
        if ticket.request.as_loaded:
            return True
        trained = self.info.num_ctx_train
        context = min(self.placement.num_ctx, trained) if trained > 0 else self.placement.num_ctx
        running = Running(self.spec, context, self.placement.num_batch, self.placement.use_mmap, trained)
        return difference(ticket.spec, running) is None

    def resident(self) -> Resident:
        """The record as planning sees it."""
        mapped = 0 if self.placement.use_mmap is False else self.request.model.facts.weights_bytes
        return Resident(self.key, self.stay.keep, self.refs > 0, self.placement.usage, mapped)

    @property
    def vram(self) -> int:
        """Bytes on GPUs: as measured where the engine told, else as predicted."""
        if self.info is not None and self.info.buffers:
            return measured(self.info, 0)[1]
        return sum(self.placement.usage.gpus.values())

    def row(self, wall: float) -> LoadedModel:
        """The record as /api/ps shows it."""
        assert self.info is not None, "only a model that is ready has a row"
        size, vram = measured(self.info, self.request.model.facts.weights_bytes)
        return LoadedModel(
            model=self.request.model,
            size=size,
            size_vram=vram,
            context_length=self.info.num_ctx,
            expires_at=self.stay.shown(wall),
            parallel=self.placement.parallel,
            pid=self.runner.pid,
            reduced=self.ladder.reductions(self.spec.num_ctx),
        )

    def cancel_timer(self) -> None:
        """Whatever was to happen after the keep-alive does not."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
