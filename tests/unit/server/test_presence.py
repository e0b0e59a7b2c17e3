"""Work that is given up when the client hangs up."""

import asyncio
from contextlib import suppress

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from server.presence import unless_gone

pytestmark = pytest.mark.anyio


class Client:
    """The other end of a request whose body has been read."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.request = Request({"type": "http"}, self._receive)

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def forever() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    raise ZeroDivisionError


async def test_the_result_of_the_work_is_returned() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await unless_gone(Client().request, work()) == 7


async def test_a_failure_of_the_work_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        await unless_gone(Client().request, failing())


async def test_a_client_that_leaves_ends_the_work_and_the_task_goes_on() -> None:
    client, ended = Client(), asyncio.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            ended.set()

    client.gone.set()
    with pytest.raises(ClientDisconnect):
        await unless_gone(client.request, work())
    assert ended.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    await asyncio.sleep(0)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    client = Client()
    waiting = asyncio.ensure_future(unless_gone(client.request, forever()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waiting.cancelled()


async def test_a_client_that_leaves_while_somebody_cancels_does_not_hide_it() -> None:
    client = Client()
    waiting = asyncio.ensure_future(unless_gone(client.request, forever()))
    for _ in range(3):
        await asyncio.sleep(0)
    client.gone.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("steps", range(4))
async def test_a_client_that_leaves_as_the_work_ends_disturbs_nothing_afterwards(steps: int) -> None:
    """Whether the watcher sleeps, is about to wake up, or has its callback on the way."""
    client = Client()

    async def work() -> None:
        client.gone.set()
        for _ in range(steps):
            await asyncio.sleep(0)

    with suppress(ClientDisconnect):
        await unless_gone(client.request, work())
    for _ in range(3):
        await asyncio.sleep(0)
