"""A live response sends pieces as they come, and closes its source in every outcome."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from server.stream import LiveResponse

pytestmark = pytest.mark.anyio


class Exchange:
    """The two ends of a response, and the source that it reads."""

    def __init__(self, *, fail: Exception | None = None) -> None:
        self.closed = 0
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.begun = asyncio.Event()
        self._over = asyncio.Event()
        self._fail = fail

    async def pieces(self, *, endless: bool = False) -> AsyncIterator[bytes]:
        yield b"one\n"
        self.begun.set()
        if self._fail:
            raise self._fail
        if endless:
            await self._over.wait()
        yield b"two\n"

    def close(self) -> None:
        self.closed += 1
        self._over.set()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, pieces: AsyncIterator[bytes]) -> None:
        await LiveResponse(pieces, self.close)({"type": "http"}, self.receive, self.send)


async def test_pieces_are_sent_one_by_one_and_the_source_is_closed() -> None:
    exchange = Exchange()
    await exchange.run(exchange.pieces())
    start, *bodies = exchange.sent
    assert start["status"] == 200
    assert dict(start["headers"]) == {b"content-type": b"application/x-ndjson"}
    assert [(body["body"], body["more_body"]) for body in bodies] == [(b"one\n", True), (b"two\n", True), (b"", False)]
    assert exchange.closed == 1


async def test_a_client_that_leaves_closes_the_source_which_then_ends() -> None:
    exchange = Exchange()
    response = asyncio.ensure_future(exchange.run(exchange.pieces(endless=True)))
    await exchange.begun.wait()
    assert exchange.closed == 0
    exchange.gone.set()
    await asyncio.wait_for(response, 5)
    assert exchange.closed >= 1


async def test_a_source_that_fails_is_closed() -> None:
    exchange = Exchange(fail=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await exchange.run(exchange.pieces())
    assert exchange.closed == 1
    assert exchange.sent[-1]["body"] == b"one\n", "the client sees that the answer is not whole"


async def test_a_cancelled_response_closes_its_source() -> None:
    exchange = Exchange()
    response = asyncio.ensure_future(exchange.run(exchange.pieces(endless=True)))
    await exchange.begun.wait()
    response.cancel()
    with pytest.raises(asyncio.CancelledError):
        await response
    assert exchange.closed == 1


async def test_a_connection_that_breaks_closes_the_source() -> None:
    exchange = Exchange()

    async def broken(message: Message) -> None:
        raise OSError("broken pipe")

    with pytest.raises(OSError, match="broken pipe"):
        await LiveResponse(exchange.pieces(), exchange.close)({"type": "http"}, exchange.receive, broken)
    assert exchange.closed == 1
