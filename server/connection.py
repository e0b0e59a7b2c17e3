"""One connection: what uvicorn and llhttp leave open of HTTP/1.1, decided as Go's server decides it.

    head ──sound──▶ request ──▶ answer ──▶ next head
     │ garbage, too long, no host …            │ garbage behind a request: its answer is completed, then the end
     └──▶ refused in one line of text ──▶ deaf for LINGER, so that the client can read it ──▶ closed

A client that would like another protocol (WebSocket, h2c) is answered in this one: its request is parsed again, without
the wish.
"""

import re
from typing import Final, cast

import httptools
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_log = structlog.get_logger(__name__)

MAX_HEAD: Final = 1 << 20
"""Bytes between two pieces of content: of a head, of what stands between chunks, of what follows them."""
MAX_URL: Final = 65_535
"""What httptools can take apart."""
LINGER: Final = 0.5
"""Seconds to go on reading after a refusal: closing at once would reset the connection, refusal and all."""

_BAD: Final = "400 Bad Request"
_HOST: Final = re.compile(rb"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Refused(Exception):
    """`line` is a status line without the protocol, and all that the client is told."""

    def __init__(self, line: str = _BAD) -> None:
        super().__init__(line)
        self.line = line


class Connection(HttpToolsProtocol):
    """Callbacks of the parser raise `Refused`."""

    _idle_bytes = 0
    """Bytes since the last piece of content."""
    _deaf = False
    """Whether what comes in is dropped."""

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._idle_bytes += len(data)
        try:
            while data:
                data = self._feed(data)
            if self._idle_bytes > MAX_HEAD:
                raise Refused("431 Request Header Fields Too Large")
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refused) else Refused())
        except Refused as refusal:
            self._refuse(refusal)

    def _feed(self, data: bytes) -> bytes:
        """What is left after a request that asked for another protocol. Raises `HttpParserError`, `Refused`."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            method, version, headers = self.parser.get_method(), self.parser.get_http_version(), self.headers
            if method == b"CONNECT":
                raise Refused from None
            head = [b"%s %s HTTP/%s\r\n" % (method, self.url, version.encode())]
            head += [b"%s: %s\r\n" % header for header in headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(b"".join(head) + b"\r\n")
            return data[wish.args[0] :]
        return b""

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        version = self.parser.get_http_version()
        _check_target(self.parser.get_method(), self.url)
        _check_headers(self.headers, host_required=version != "1.0")
        if not self.url.startswith((b"/", b"*")):
            _move_host(self.url, self.headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._idle_bytes = 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        old = cycle.scope["http_version"] == "1.0"
        if old or cycle.waiting_for_100_continue:
            app = cast(ASGI3Application, _Careful(cycle, cast(ASGIApp, app)))
        super()._start_asgi_task(cycle, app)

    def _refuse(self, refusal: Refused) -> None:
        """Say why and close, unless something is being said already."""
        self._deaf = True
        cycle = self.cycle  # None before the first request, whatever its declaration says
        if cycle is not None and not cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison]
            cycle.keep_alive = False
            if not cycle.more_body:
                return
            if cycle.response_started:
                self.transport.close()
                return
        client = ":".join(map(str, self.client or ()))
        _log.info("what a client sent is no request", client=client, answer=refusal.line)
        head = f"HTTP/1.1 {refusal.line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
        self.transport.write((head + refusal.line).encode())
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)


class _Careful:
    """An application whose answer spares its client what it would not understand.

    A client of HTTP/1.0 knows no chunks: an answer of unknown length ends with the connection. One that is answered
    before it was told to send its body may send it or not; only the end of the connection makes that clear.
    """

    def __init__(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        self._cycle = cycle
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle, endless = self._cycle, False

        async def careful_send(message: Message) -> None:
            nonlocal endless
            if message["type"] == "http.response.start":
                if cycle.waiting_for_100_continue:
                    cycle.keep_alive = False
                stated = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                endless = scope["http_version"] == "1.0" and not stated
                if endless:
                    cycle.chunked_encoding = False
            elif endless:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, careful_send)


def _check_target(method: bytes, url: bytes) -> None:
    """Raises `Refused`."""
    if len(url) > MAX_URL:
        raise Refused("414 URI Too Long")
    if url == b"*" and method != b"OPTIONS":
        raise Refused
    if b"%" in url and _BROKEN_ESCAPE.search(url.partition(b"?")[0]):
        raise Refused


def _check_headers(headers: list[tuple[bytes, bytes]], *, host_required: bool) -> None:
    """Raises `Refused`."""
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise Refused(f"{_BAD}: malformed Host header")
        elif name == b"expect" and value.lower() != b"100-continue":
            raise Refused("417 Expectation Failed")
    if hosts > 1:
        raise Refused
    if host_required and not hosts:
        raise Refused(f"{_BAD}: missing required Host header")


def _move_host(url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """A target that names its host, as proxies are sent, counts more than the header. Raises `HttpParserError`."""
    parsed = httptools.parse_url(url)
    host = parsed.host or b""
    if b":" in host:
        host = b"[%s]" % host
    if parsed.port:
        host = b"%s:%d" % (host, parsed.port)
    headers[:] = [(b"host", host), *(header for header in headers if header[0] != b"host")]
