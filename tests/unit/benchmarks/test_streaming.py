"""Waves of streamed answers, against a server that says what it is told to."""

import asyncio
import json
from typing import Any

import pytest

from benchmarks import streaming
from benchmarks.errors import ModelMismatch
from benchmarks.sides import Counts, Model, Request
from benchmarks.streaming import Load

LOAD = Load(streams=3, waves=2, prompt_words=4, answer_tokens=2)


class Scripted:
    """A side whose server streams one line a token."""

    name = "scripted"

    def __init__(self, port: int, *, extra: int = 0) -> None:
        self.port = port
        self._extra = extra

    async def load(self, model: Model) -> float:
        return 0.0

    async def unload(self) -> None: ...

    def private_bytes(self) -> int:
        return 0

    def generation(self, prompt: str, tokens: int) -> Request:
        return Request("/", {"words": len(prompt.split()), "tokens": tokens})

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

        async def all_waves() -> list[int]:
            listening = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            async with listening:
                side = Scripted(listening.sockets[0].getsockname()[1], **options)
                try:
                    return [len(wave.streams) for wave in await streaming.run(side, LOAD)]
                finally:
                    for ended in self._ended:
                        await ended.wait()

        return asyncio.run(all_waves())


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
