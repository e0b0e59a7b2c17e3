"""Waves of streamed answers, against a server that says what it is told to."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from benchmarks import streaming
from benchmarks.errors import ModelMismatch
from benchmarks.ledger import Party
from benchmarks.sides import Asking, Counts, Model, Request, Setting
from benchmarks.streaming import Load

T = TypeVar("T")
LOAD = Load(streams=3, waves=2, prompt_words=4, answer_tokens=2)


class Scripted:
    """A side whose server streams one line a token."""

    party: Party = "llama-server"

    def __init__(self, port: int, *, extra: int = 0) -> None:
        self.port = port
        self._extra = extra

    async def start(self, setting: Setting) -> float:
        return 0.0

    async def stop(self) -> None: ...

    async def load(self, model: Model) -> float:
        return 0.0

    async def unload(self) -> None: ...

    def private_bytes(self) -> int:
        return 0

    def generation(self, asking: Asking) -> Request:
        return Request("/", {"words": len(asking.prompt.split()), "tokens": asking.tokens})

    def embedding(self, texts: list[str]) -> Request:
        return Request("/", {})

    def counts(self, body: bytes) -> Counts:
        last: dict[str, Any] = json.loads(body.splitlines()[-1])
        return Counts(last["words"] + 1, last["tokens"] + self._extra)


class Server:
    """Echoes what was asked for, a chunk an answer, and counts the requests of each connection."""

    def __init__(self, *, hang_up: bool) -> None:
        self.requests: list[int] = []
        self._hang_up = hang_up
        self._ended: list[asyncio.Event] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        mine, ended = len(self.requests), asyncio.Event()
        self.requests.append(0)
        self._ended.append(ended)
        while head := await reader.read(1 << 16):
            self.requests[mine] += 1
            line = head.partition(b"\r\n\r\n")[2] + b"\n"
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(line), line))
            await writer.drain()
            if self._hang_up:
                break
        writer.close()
        await writer.wait_closed()
        ended.set()

    def run(self, **options: int) -> list[int]:
        """Waves on this server: the streams of each."""

        async def waves(side: Scripted) -> list[int]:
            return [len(wave.streams) for wave in await streaming.run(side, LOAD)]

        return asyncio.run(self._against(waves, **options))

    def ask_once(self, **options: int) -> None:
        """One answer from this server."""

        async def once(side: Scripted) -> None:
            await streaming.ask_once(side, Asking("a b", 5))

        asyncio.run(self._against(once, **options))

    async def _against(self, work: Callable[[Scripted], Awaitable[T]], **options: int) -> T:
        listening = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with listening:
            try:
                return await work(Scripted(listening.sockets[0].getsockname()[1], **options))
            finally:
                for ended in self._ended:
                    await ended.wait()


def test_connections_are_kept() -> None:
    """Three streams, three connections: one wave that does not count, two that do."""
    server = Server(hang_up=False)
    assert server.run() == [3, 3]
    assert server.requests == [3, 3, 3]


def test_a_server_that_hangs_up_gets_new_connections() -> None:
    """After each answer; no request is lost."""
    server = Server(hang_up=True)
    assert server.run() == [3, 3]
    assert sum(server.requests) == 9


def test_unlike_counts_end_the_run() -> None:
    """Figures about different numbers of tokens are not compared."""
    with pytest.raises(ModelMismatch, match="5 tokens of the prompt and 3 of the answer"):
        Server(hang_up=False).run(extra=1)


def test_a_single_answer_must_have_its_length_too() -> None:
    """The prompt's count is not compared: servers that remember it count it differently."""
    server = Server(hang_up=False)
    server.ask_once()
    assert server.requests == [1]
    with pytest.raises(ModelMismatch, match="llama-server wrote 6 tokens; 5 were asked for"):
        server.ask_once(extra=1)
