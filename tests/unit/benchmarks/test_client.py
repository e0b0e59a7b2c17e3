"""Answers of HTTP/1.1 servers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.client import Answer, body, body_start, connect, status, wanted
from benchmarks.errors import BadAnswer, HungUp

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(parts: list[bytes]) -> bytes:
    return HEAD + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_chunks_are_joined(parts: list[bytes]) -> None:
    """Whatever bytes are in them, line ends included."""
    assert body(chunked(parts)) == b"".join(parts)


@given(st.binary(max_size=60))
def test_a_body_of_known_length(data: bytes) -> None:
    """It is whole when so many bytes are there."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)
    assert wanted(raw) == len(raw)
    assert body(raw) == data


def test_a_head_that_is_not_whole_says_nothing() -> None:
    """Neither length nor chunks are known before its end."""
    assert all(wanted(HEAD[:end]) == 0 for end in range(len(HEAD)))
    assert wanted(HEAD) == -1


def test_the_first_text_is_the_first_byte_behind_the_chunk_size() -> None:
    """A head alone, and a chunk size alone, are no text yet."""
    raw = chunked([b"hello"])
    assert raw[body_start(raw) :].startswith(b"hello")
    head, size = len(HEAD), len(HEAD) + len(b"5\r\n")
    answer = Answer(0.0, [(1.0, head), (2.0, size), (3.0, size + 1), (4.0, len(raw))], raw)
    assert (answer.first_text, answer.last) == (3.0, 4.0)


def test_status() -> None:
    """Three digits behind the version; anything else is no answer."""
    assert status(b"HTTP/1.1 503 Service Unavailable\r\n\r\n") == 503
    with pytest.raises(BadAnswer):
        status(b"SSH-2.0-OpenSSH\r\n")


def serving(replies: list[bytes], use: Callable[[int], Awaitable[None]]) -> None:
    """Run `use` against a server that answers the n-th request of a connection with the n-th reply."""

    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(size)
            writer.write(reply)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            await use(server.sockets[0].getsockname()[1])
            await ended.wait()

    asyncio.run(run())


def test_one_connection_carries_several_requests() -> None:
    """A chunked answer, then one of known length, over the same connection."""

    async def use(port: int) -> None:
        connection = await connect("127.0.0.1", port)
        first = await connection.ask("POST", "/a", {"x": 1})
        second = await connection.ask("GET", "/b")
        connection.close()
        assert (first.body, second.body) == (b"onetwo", b"{}")
        assert first.sent <= first.first_text <= first.last

    serving([chunked([b"one", b"two"]), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"], use)


def test_an_error_is_told_with_its_text() -> None:
    """Status and body, so that a failed run explains itself."""

    async def use(port: int) -> None:
        connection = await connect("127.0.0.1", port)
        with pytest.raises(BadAnswer, match="404: no such model"):
            await connection.ask("POST", "/a", {})
        connection.close()

    serving([b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nno such model"], use)


def test_a_server_that_hangs_up_is_noticed() -> None:
    """Half an answer is none."""

    async def use(port: int) -> None:
        connection = await connect("127.0.0.1", port)
        with pytest.raises(HungUp) as caught:
            await connection.ask("POST", "/a", {})
        assert caught.value.received == len(HEAD) + 6

    serving([HEAD + b"5\r\nhel"], use)
