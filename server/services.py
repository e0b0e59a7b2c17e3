"""What handlers work with: one object on `app.state.services`, made by `lifecycle`."""

from dataclasses import dataclass, field
from typing import Protocol, cast

from starlette.requests import Request

from modelstore.names import Name
from modelstore.progress import Report
from modelstore.store import Store
from scheduler.loop import Scheduler
from server.jobs import Jobs
from server.middleware import Activity
from server.reception import Reception
from server.settings import Settings


class Transfers(Protocol):
    """Brings models from elsewhere, and sends them there. Both block, and raise errors of the model store."""

    def pull(self, store: Store, name: Name, report: Report, *, insecure: bool = False) -> None: ...

    def push(self, store: Store, name: Name, report: Report, *, insecure: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running daemon."""

    settings: Settings
    store: Store
    scheduler: Scheduler
    transfers: Transfers
    activity: Activity = field(default_factory=Activity)
    jobs: Jobs = field(default_factory=Jobs)
    reception: Reception = field(default_factory=Reception)


def services_of(request: Request) -> Services:
    """Those of the application that serves the request."""
    return cast(Services, request.app.state.services)
