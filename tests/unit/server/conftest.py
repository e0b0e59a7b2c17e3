"""A daemon without processes and sockets: the application over a temporary store and a fake scheduler."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
import pytest

from modelstore.names import Name
from modelstore.progress import Report
from modelstore.store import Store
from scheduler.loop import Scheduler
from server.app import create_app
from server.services import Services
from server.settings import Settings
from server.transfers import BundledTransfers
from tests.unit.server.fakes import FakeScheduler

HOST = "127.0.0.1:11434"


@dataclass
class FakeTransfers(BundledTransfers):
    """Pulls what is bundled, unless told to do something else."""

    work: Callable[[Report], None] | None = None

    def pull(self, store: Store, name: Name, report: Report, *, insecure: bool = False) -> None:
        if self.work is None:
            super().pull(store, name, report, insecure=insecure)
        else:
            self.work(report)


@pytest.fixture
def scheduler() -> FakeScheduler:
    return FakeScheduler()


@pytest.fixture
def transfers() -> FakeTransfers:
    return FakeTransfers()


@pytest.fixture
def services(tmp_path: Path, scheduler: FakeScheduler, transfers: FakeTransfers) -> Services:
    store = Store.open(tmp_path / "models")
    settings = Settings.from_env({"HOME": str(tmp_path)})
    return Services(settings, store, cast(Scheduler, scheduler), transfers)


@pytest.fixture
async def http(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which gets every exception that the application lets out."""
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
        yield client
