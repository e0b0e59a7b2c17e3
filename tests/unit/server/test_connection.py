"""HTTP on the wire: what is answered, what is refused, and that nothing is kept without end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from server import connection
from server.connection import Connection

pytestmark = pytest.mark.anyio

GOOD = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Wire:
    """A transport whose other end is the test."""

    def __init__(self) -> None:
        self.sent = b""
        self.ended = self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.ended, "nothing follows a refusal"
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what it was asked; /early without reading the body, /stream in pieces, /wait when it is told to."""
    request = Request(scope, receive)
    path = request.url.path

    async def pieces() -> AsyncIterator[bytes]:
        for word in (b"one", b"two"):
            yield word

    answer: Response = StreamingResponse(pieces())
    if path == "/wait":
        await scope["state"]["go"].wait()
    if path != "/stream":
        body = b"" if path == "/early" else await request.body()
        answer = PlainTextResponse(b"%s %s %s|" % (path.encode(), request.headers.get("host", "").encode(), body))
    await answer(scope, receive, send)


class Peer:
    """A client on one connection."""

    def __init__(self) -> None:
        config = uvicorn.Config(application, log_config=None, server_header=False, date_header=False)
        config.load()
        self.go = asyncio.Event()
        self.wire = Wire()
        self._state = ServerState()
        self.protocol = Connection(config, self._state, {"go": self.go})
        self.protocol.connection_made(cast(asyncio.Transport, self.wire))

    async def say(self, *pieces: bytes) -> bytes:
        """Send the pieces, and return all that was answered."""
        for piece in pieces:
            self.protocol.data_received(piece)
        while tasks := [task for task in self._state.tasks if not self.waits]:
            await asyncio.wait(tasks)
        return self.wire.sent

    waits = False


def refusal(line: str) -> bytes:
    head = f"HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    return (head + line).encode()


def contents(answers: bytes) -> list[bytes]:
    """The bodies of answers of `application`."""
    return [part.partition(b"\r\n\r\n")[2].rstrip(b"|") for part in answers.split(b"HTTP/1.1 200")[1:]]


def head(*lines: bytes, start: bytes = b"GET /a HTTP/1.1") -> bytes:
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"\x00\x01\x02\r\n\r\n", "400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request"),
        (b"hello, world\r\n\r\n", "400 Bad Request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 Bad Request"),
        (head(), "400 Bad Request: missing required Host header"),
        (head(b"Host: a", b"Host: a"), "400 Bad Request"),
        (head(b"Host: a b"), "400 Bad Request: malformed Host header"),
        (head(b"Host: user@a"), "400 Bad Request: malformed Host header"),
        (head(b"Host: a", b"Bad Name: x"), "400 Bad Request"),
        (head(b"Host: a", b"X: a\x00b"), "400 Bad Request"),
        (head(b"Host: a", b"Content-Length: -1"), "400 Bad Request"),
        (head(b"Host: a", b"Content-Length: 99999999999999999999999"), "400 Bad Request"),
        (head(b"Host: a", b"Content-Length: 1", b"Transfer-Encoding: chunked"), "400 Bad Request"),
        (head(b"Host: a", b"Expect: wonders"), "417 Expectation Failed"),
        (head(b"Host: a", start=b"GET /%zz HTTP/1.1"), "400 Bad Request"),
        (head(b"Host: a", start=b"GET * HTTP/1.1"), "400 Bad Request"),
        (head(b"Host: a", start=b"GET a HTTP/1.1"), "400 Bad Request"),
        (head(b"Host: a", start=b"GET http://[ HTTP/1.1"), "400 Bad Request"),
        (head(b"Host: a:80", start=b"CONNECT a:80 HTTP/1.1"), "400 Bad Request"),
        (head(b"Host: a", start=b"GET /%s HTTP/1.1" % (b"a" * 70_000)), "414 URI Too Long"),
    ],
)
async def test_what_is_no_request_is_refused_in_one_line_and_the_connection_ends(sent: bytes, line: str) -> None:
    """Whatever follows is not looked at."""
    peer = Peer()
    assert await peer.say(sent) == refusal(line)
    assert peer.wire.ended
    assert await peer.say(GOOD, sent) == refusal(line)


async def test_a_refusal_is_one_line_in_the_log() -> None:
    with capture_logs() as events:
        await Peer().say(b"\x00" * 5000, b"\xff")
    assert [(event["log_level"], event["answer"]) for event in events] == [("info", "400 Bad Request")]
    assert "exc_info" not in events[0]


@pytest.mark.parametrize("start", [b"GET /", b"GET /a HTTP/1.1\r\nHost: a\r\nX: ", head(b"Host: a")[:-2] + b"X"])
async def test_a_head_without_end_is_refused_before_it_fills_the_memory(start: bytes) -> None:
    peer = Peer()
    pieces = [b"a" * (1 << 16)] * (connection.MAX_HEAD // (1 << 16))
    assert await peer.say(start, *pieces[:-1]) == b""
    assert await peer.say(*pieces) == refusal("431 Request Header Fields Too Large")


async def test_what_follows_the_chunks_has_a_bound_too() -> None:
    peer = Peer()
    trailer = b"X: %s\r\n" % (b"a" * 60_000)
    start = head(b"Host: a", b"Transfer-Encoding: chunked", start=b"POST /a HTTP/1.1") + b"1\r\nx\r\n0\r\n"
    peer.protocol.data_received(start)
    for _ in range(connection.MAX_HEAD // len(trailer) + 1):
        peer.protocol.data_received(trailer)
    assert peer.wire.sent == refusal("431 Request Header Fields Too Large")


async def test_a_body_may_be_as_long_as_it_likes_in_chunks_of_any_size() -> None:
    chunk = (b"1;%s\r\nx\r\n" % (b"e" * 500)) * 250
    start = head(b"Host: a", b"Transfer-Encoding: chunked", start=b"POST /a HTTP/1.1")
    answer = await Peer().say(start, *[chunk] * 10, b"0\r\n\r\n")
    assert contents(answer) == [b"/a a " + b"x" * 2_500]


async def test_requests_that_follow_each_other_are_answered_in_their_order() -> None:
    second = head(b"Host: b", b"Content-Length: 2", start=b"POST /b HTTP/1.1") + b"{}"
    answer = await Peer().say(GOOD + second + GOOD)
    assert contents(answer) == [b"/a localhost ", b"/b b {}", b"/a localhost "]


UPGRADE = head(
    b"Host: a",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAAQAAP__",
    b"Content-Length: 5",
    start=b"POST /a HTTP/1.1",
)


async def test_a_client_that_would_like_another_protocol_is_answered_in_this_one_with_its_body() -> None:
    """However the network cuts what it sends."""
    sent = UPGRADE + b"hello" + GOOD
    for cut in range(1, len(sent), 7):
        peer = Peer()
        assert contents(await peer.say(sent[:cut], sent[cut:])) == [b"/a a hello", b"/a localhost "]
        assert not peer.wire.closed


async def test_a_thousand_of_them_in_a_row() -> None:
    answer = await Peer().say((UPGRADE + b"hello") * 1000)
    assert contents(answer) == [b"/a a hello"] * 1000


async def test_no_web_socket() -> None:
    sent = head(b"Host: a", b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    assert contents(await Peer().say(sent)) == [b"/a a "]


@pytest.mark.parametrize(
    ("target", "host"),
    [(b"http://b/a", b"b"), (b"http://b:8080/a", b"b:8080"), (b"http://[::1]:1/a", b"[::1]:1")],
)
async def test_a_host_in_the_target_counts_more_than_the_header(target: bytes, host: bytes) -> None:
    answer = await Peer().say(head(b"Host: localhost", start=b"GET %s HTTP/1.1" % target))
    assert contents(answer) == [b"/a %s " % host]


async def test_a_client_of_http_1_0_gets_no_chunks_and_the_end_of_the_connection() -> None:
    peer = Peer()
    answer = await peer.say(b"GET /stream HTTP/1.0\r\n\r\n")
    start, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"onetwo"
    assert b"transfer-encoding" not in start
    assert b"connection: close" in start
    assert peer.wire.closed


async def test_a_stream_is_sent_in_chunks() -> None:
    peer = Peer()
    answer = await peer.say(head(b"Host: a", start=b"GET /stream HTTP/1.1"))
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert not peer.wire.closed


def expecting(path: bytes) -> bytes:
    return head(b"Host: a", b"Expect: 100-continue", b"Content-Length: 2", start=b"POST %s HTTP/1.1" % path)


async def test_a_body_that_waits_to_be_asked_for_is_asked_for() -> None:
    peer = Peer()
    peer.waits = True
    await peer.say(expecting(b"/a"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert peer.wire.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.waits = False
    assert contents(await peer.say(b"{}")) == [b"/a a {}"]
    assert not peer.wire.closed


async def test_a_body_that_nobody_wants_is_not_asked_for() -> None:
    """Whether it comes all the same cannot be told, so nothing may follow."""
    peer = Peer()
    answer = await peer.say(expecting(b"/early"))
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer
    assert peer.wire.closed


async def test_garbage_behind_a_request_does_not_get_into_its_answer() -> None:
    peer = Peer()
    peer.waits = True
    await peer.say(head(b"Host: a", start=b"GET /wait HTTP/1.1"), b"\x00garbage", GOOD)
    assert peer.wire.sent == b""
    peer.waits = False
    peer.go.set()
    answer = await peer.say()
    assert contents(answer) == [b"/wait a "]
    assert peer.wire.closed


async def test_a_body_in_broken_chunks_is_refused() -> None:
    start = head(b"Host: a", b"Transfer-Encoding: chunked", start=b"POST /a HTTP/1.1")
    assert await _until_refused(start + b"zz\r\n") == refusal("400 Bad Request")


async def _until_refused(sent: bytes) -> bytes:
    peer = Peer()
    peer.waits = True
    answer = await peer.say(sent)
    peer.protocol.connection_lost(None)
    return answer


def test_that_uvicorn_takes_the_class_for_its_protocol() -> None:
    config: Any = uvicorn.Config(application, http=Connection, log_config=None)
    config.load()
    assert config.http_protocol_class is Connection
