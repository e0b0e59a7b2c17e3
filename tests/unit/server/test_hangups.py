"""Clients that leave, in whatever state their request is: nothing goes on for them, and nothing stays taken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message

from scheduler import frames
from scheduler.ports import EmbedFields
from server.app import create_app
from server.services import Services
from tests.unit.server.fakes import Caller, FakeScheduler, ScriptedRunner, install, say

pytestmark = pytest.mark.anyio

TEXT = ["/api/generate", "/api/chat"]
ALL = [*TEXT, "/api/embed", "/api/embeddings"]


@pytest.fixture(autouse=True)
def model(services: Services) -> None:
    install(services.store, "m")


def body(path: str, **members: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"prompt": "hi", "input": "hi"}
    if path == "/api/chat":
        asked = {"messages": [{"role": "user", "content": "hi"}]}
    return {"model": "m", **asked, **members}


async def leave(caller: Caller, reached: Callable[[], Awaitable[object]]) -> None:
    """Send the request, and hang up when it has come so far."""
    task = caller.start()
    await asyncio.wait_for(reached(), 5)
    caller.gone.set()
    await asyncio.wait_for(task, 5)


class SlowRunner(ScriptedRunner):
    """Counts tokens and embeds without end, and notes that it is no longer asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = asyncio.Event()
        self.given_up = 0

    async def embed(self, fields: EmbedFields) -> frames.Embedded:
        await self._work()
        raise AssertionError

    async def tokenize(self, texts: list[str], *, add_special: bool, count_only: bool) -> frames.Tokens:
        await self._work()
        raise AssertionError

    async def _work(self) -> None:
        self.busy.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ALL)
async def test_in_the_queue_or_while_the_model_is_loaded(
    services: Services, scheduler: FakeScheduler, path: str, stream: bool
) -> None:
    scheduler.held = asyncio.Event()
    await leave(Caller(create_app(services), path, **body(path, stream=stream)), scheduler.was_asked.wait)
    assert (scheduler.runner.asked, scheduler.runner.embeds, scheduler.released) == ([], [], 0)
    assert services.activity.active == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_while_the_prompt_is_counted(services: Services, scheduler: FakeScheduler, stream: bool) -> None:
    scheduler.runner = runner = SlowRunner()
    long = [{"role": "user", "content": "long " * 50}, {"role": "assistant", "content": "long " * 50}] * 3
    asked = {"model": "m", "stream": stream, "messages": [*long, {"role": "user", "content": "hi"}]}
    await leave(Caller(create_app(services), "/api/chat", **asked), runner.busy.wait)
    assert runner.given_up == 1
    assert runner.asked == []
    assert scheduler.balanced


@pytest.mark.parametrize("said", [0, 3])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", TEXT)
async def test_while_the_prompt_is_read_or_the_answer_written(
    services: Services, scheduler: FakeScheduler, path: str, stream: bool, said: int
) -> None:
    """Before the first token, and after some."""
    scheduler.runner.script = [[say("a")] * said]

    async def reached() -> None:
        await scheduler.runner.started.wait()
        await scheduler.runner.streams[0].dry.wait()

    caller = Caller(create_app(services), path, **body(path, stream=stream))
    await leave(caller, reached)
    assert scheduler.runner.streams[0].closed
    assert scheduler.balanced
    assert bool(caller.sent) == (stream and said > 0)


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings"])
async def test_while_texts_are_embedded(services: Services, scheduler: FakeScheduler, path: str) -> None:
    scheduler.runner = runner = SlowRunner()
    await leave(Caller(create_app(services), path, **body(path)), runner.busy.wait)
    assert runner.given_up == 1
    assert scheduler.balanced


class HalfCaller(Caller):
    """Sends half of a body, and then nothing."""

    def __init__(self, services: Services, path: str) -> None:
        super().__init__(create_app(services), path)
        self.waits = asyncio.Event()
        self._sent = False

    async def _receive(self) -> Message:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": b'{"model":', "more_body": True}
        self._read = True
        self.waits.set()
        return await super()._receive()


@pytest.mark.parametrize(
    "path", [*ALL, "/api/show", "/api/create", "/api/copy", "/api/pull", "/api/push", f"/api/blobs/sha256:{'0' * 64}"]
)
async def test_in_the_middle_of_the_body(services: Services, scheduler: FakeScheduler, path: str) -> None:
    """Also of a file: nothing is asked of anybody, nothing is answered, nothing lies around."""
    before = sorted(services.store.layout.root.rglob("*"))
    caller = HalfCaller(services, path)
    await leave(caller, caller.waits.wait)
    assert (scheduler.asked, caller.sent, services.activity.active) == ([], [], 0)
    assert [path for path in services.store.layout.root.rglob("*") if path.is_file()] == [
        path for path in before if path.is_file()
    ]


async def test_sixty_in_a_row_leave_everything_as_it_was(services: Services, scheduler: FakeScheduler) -> None:
    """Every lease is given back, every generation closed, no task is left."""
    app = create_app(services)
    tasks = len(asyncio.all_tasks())
    scheduler.runner.script = [[say("a")] * (number % 2) for number in range(60)]
    for number in range(60):
        path, stream = TEXT[number % 2], number % 3 == 0

        async def reached() -> None:
            await scheduler.runner.started.wait()
            await scheduler.runner.streams[-1].dry.wait()

        await leave(Caller(app, path, **body(path, stream=stream)), reached)
        scheduler.runner.started.clear()
    assert (len(scheduler.asked), scheduler.released) == (60, 60)
    assert all(stream.closed for stream in scheduler.runner.streams)
    assert services.activity.active == 0
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == tasks
