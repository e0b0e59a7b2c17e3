"""Work on a thread ends when nobody waits for it, and when the daemon does."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from modelstore.progress import Progress, Report
from scheduler.errors import ShuttingDown
from server.jobs import Jobs, JobStopped

pytestmark = pytest.mark.anyio


class Client:
    """One side of a request: hangs up when told, notes what it is sent."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.sent: list[Message] = []
        self.got_line = asyncio.Event()
        self.request = Request({"type": "http", "method": "POST", "headers": []}, self.receive)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message.get("body"):
            self.got_line.set()

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


class Worker:
    """Tells one event, then waits for `go` before each further one."""

    def __init__(self, first: bool = True) -> None:
        self.first = first
        self.go = threading.Event()
        self.begun = threading.Event()
        self.end: BaseException | None = None
        self.over = threading.Event()

    def __call__(self, report: Report) -> None:
        try:
            if self.first:
                report(Progress("one"))
            self.begun.set()
            self.go.wait(60)
            report(Progress("two"))
        except BaseException as error:
            self.end = error
            raise
        finally:
            self.over.set()


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    yield worker
    worker.go.set()


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 60)


async def test_a_stream_flows(worker: Worker) -> None:
    client = Client()
    response = await Jobs().respond(client.request, worker, stream=True)
    answering = asyncio.create_task(response({"type": "http"}, client.receive, client.send))
    await client.got_line.wait()
    assert client.text == b'{"status":"one"}\n'
    worker.go.set()
    await answering
    assert client.text == b'{"status":"one"}\n{"status":"two"}\n'
    assert worker.end is None


async def test_a_client_that_leaves_a_stream_stops_the_work(worker: Worker) -> None:
    client = Client()
    response = await Jobs().respond(client.request, worker, stream=True)
    answering = asyncio.create_task(response({"type": "http"}, client.receive, client.send))
    await client.got_line.wait()
    client.gone.set()
    await answering
    worker.go.set()
    await until(worker.over)
    assert isinstance(worker.end, JobStopped)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_before_the_answer_stops_the_work(stream: bool) -> None:
    client, worker = Client(), Worker(first=False)
    responding = asyncio.create_task(Jobs().respond(client.request, worker, stream=stream))
    await until(worker.begun)
    client.gone.set()
    with pytest.raises(ClientDisconnect):
        await responding
    worker.go.set()
    await until(worker.over)
    assert isinstance(worker.end, JobStopped)


async def test_the_end_of_the_daemon_is_the_last_line(worker: Worker) -> None:
    client, jobs = Client(), Jobs()
    response = await jobs.respond(client.request, worker, stream=True)
    answering = asyncio.create_task(response({"type": "http"}, client.receive, client.send))
    await client.got_line.wait()
    jobs.stop(ShuttingDown())
    await answering
    assert client.text.endswith(b'{"error":"server is shutting down"}\n')


async def test_the_end_of_the_daemon_before_the_answer_is_503() -> None:
    client, jobs, worker = Client(), Jobs(), Worker(first=False)
    responding = asyncio.create_task(jobs.respond(client.request, worker, stream=False))
    await until(worker.begun)
    jobs.stop(ShuttingDown())
    assert (await responding).status_code == 503
    worker.go.set()
