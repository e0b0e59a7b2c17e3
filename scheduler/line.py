"""The requests that wait, in the order in which they came, and who of them is served next.

`queue` has the rules; here they are applied to tickets and records. Only the owner task in loop.py calls this.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from scheduler import queue
from scheduler.errors import QueueFull, RunnerDied
from scheduler.fleet import Fleet
from scheduler.lease import Lease, Tenancy
from scheduler.record import Record, State, Ticket
from scheduler.sight import Sight


class Tenants(Protocol):
    """What those who were granted a lease have to say; delivered in the owner task."""

    def on_release(self, record: Record) -> None:
        """One of them has left."""
        ...

    def on_out_of_memory(self) -> None:
        """One of them was refused for want of memory."""
        ...

    def on_died(self, record: Record, error: RunnerDied) -> None: ...


class Line:
    """Tickets. `capacity`: how many may wait; `post` delivers a call to the owner task."""

    def __init__(self, fleet: Fleet, sight: Sight, capacity: int, post: Callable[..., None], tenants: Tenants) -> None:
        self._fleet = fleet
        self._sight = sight
        self._capacity = capacity
        self._post = post
        self._tenants = tenants
        self._tickets: list[Ticket] = []
        self._decided: frozenset[str] | None = None
        """Models that must leave for the first one, as last decided."""

    def __bool__(self) -> bool:
        return bool(self._tickets)

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket in self._tickets

    @property
    def first(self) -> Ticket:
        return self._tickets[0]

    def wanting(self, record: Record) -> list[Ticket]:
        """Those who wait for a load that is in progress, or was."""
        return [ticket for ticket in self._tickets if ticket.wants(record)]

    # -- coming and going -----------------------------------------------------------------------------------------

    def enter(self, ticket: Ticket) -> None:
        """A request has come: it is served at once, waits, or is turned away."""
        record = self._serving(ticket)
        if record is not None and self._passes(record):
            self.grant(ticket, record)
        elif queue.admits(len(self._tickets), self._capacity):
            self._tickets.append(ticket)
        else:
            ticket.answer.set_exception(QueueFull(self._capacity))

    def fail(self, ticket: Ticket, error: Exception) -> None:
        """It leaves without a lease."""
        self.leave(ticket)
        if not ticket.answer.done():
            ticket.answer.set_exception(error)

    def fail_all(self, error: Callable[[], Exception]) -> None:
        """All leave, each with an error of its own."""
        for ticket in list(self._tickets):
            self.fail(ticket, error())

    def leave(self, ticket: Ticket) -> None:
        """It waits no more, if it did."""
        if ticket not in self._tickets:
            return
        if ticket is self._tickets[0]:
            self._decided = None
            self._sight.forget()
        self._tickets.remove(ticket)

    def must_leave(self, keys: Iterable[str]) -> None:
        """Models that stand in the way of the first one."""
        self._decided = frozenset(keys)

    # -- granting -------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Grant whatever can be granted."""
        while self._tickets:
            first = self._tickets[0]
            record = self._serving(first)
            if record is None and not first.answer.done():
                break
            self.leave(first)
            if record is not None:
                self.grant(first, record)
        if not self._tickets:
            return
        first = self._tickets[0]
        records = [self._serving(ticket) for ticket in self._tickets]
        waiting = [
            queue.Waiting(ticket.key, record.placement.parallel if record else None)
            for ticket, record in zip(self._tickets, records, strict=True)
        ]
        positions, first.overtaken = queue.servable(waiting, victims=self._victims(), overtaken=first.overtaken)
        for ticket, record in [(self._tickets[i], records[i]) for i in positions]:
            if record is not None and record.state is State.READY:  # one of the others may just have been found dead
                self.leave(ticket)
                self.grant(ticket, record)

    def grant(self, ticket: Ticket, record: Record, *, first: bool = False) -> None:
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
            release=lambda: self._post(self._tenants.on_release, record),
            out_of_memory=lambda: self._post(self._tenants.on_out_of_memory),
        )
        ticket.granted = record
        ticket.answer.set_result(Lease(tenancy))

    def _passes(self, record: Record) -> bool:
        """Whether a request for `record` that comes now may go before all who wait; if so, the first one counts it."""
        if not self._tickets:
            return True
        first, victims = self._tickets[0], self._victims()
        contested = victims is None or record.key in victims
        passes = queue.passes(record.placement.parallel, contested=contested, overtaken=first.overtaken)
        first.overtaken += passes and contested
        return passes

    def _victims(self) -> frozenset[str] | None:
        """Models that must leave for the first of the queue: none while a load goes on, as that was found to fit; None
        as long as nobody can tell."""
        if self._fleet.loading is not None:
            return frozenset()
        return None if self._fleet.stopping or self._sight.looking else self._decided

    def _serving(self, ticket: Ticket) -> Record | None:
        """The record that can serve the ticket now."""
        record = self._fleet.ready.get(ticket.key)
        if record is None or not record.serves(ticket):
            return None
        if not record.runner.alive:
            self._tenants.on_died(record, RunnerDied())
            return None
        return record
