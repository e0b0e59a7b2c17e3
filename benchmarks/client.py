"""The one client of all servers: HTTP/1.1 over kept connections, with as little work a token as Python allows.

While an answer arrives, only its bytes and the times of their arrival are kept; what they mean is worked out after the
last one. A client that parsed each line as it came would take the processor from the servers that it measures.
"""

import asyncio
import itertools
import json
import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.errors import BadAnswer, HungUp

_HEAD_END: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
"""Ends a chunked body. Inside one it cannot stand: JSON writes line ends as escapes."""
TIMEOUT: Final = 600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, as it came."""

    sent: float
    """Clock when the request was written."""
    arrivals: list[tuple[float, int]]
    """Clock, and the bytes that had arrived by then, head included."""
    raw: bytes

    @property
    def first_text(self) -> float:
        """When the first byte of the body was here."""
        start = body_start(self.raw)
        return next(when for when, size in self.arrivals if size > start)

    @property
    def gaps(self) -> tuple[float, ...]:
        """Seconds between the arrivals of parts of the body."""
        start = body_start(self.raw)
        moments = [when for when, size in self.arrivals if size > start]
        return tuple(after - before for before, after in itertools.pairwise(moments))

    @property
    def last(self) -> float:
        """When the last byte was here."""
        return self.arrivals[-1][0]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return status(self.raw)

    @property
    def body(self) -> bytes:
        """Without head and chunk sizes."""
        return body(self.raw)


class Connection(asyncio.Protocol):
    """One kept connection; one request at a time. Opened by `connect`."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._transport: Any = None
        self._asked = ""
        self._raw = bytearray()
        self._arrivals: list[tuple[float, int]] = []
        self._wanted = 0
        self._whole: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether the server has closed it."""
        return self._transport is None or self._transport.is_closing()

    async def ask(self, method: str, path: str, payload: object = None) -> Answer:
        """Send JSON and wait for the whole answer. Raises `BadAnswer` for one that is no success, `HungUp`."""
        data = b"" if payload is None else json.dumps(payload).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        self._asked = f"{method} http://{self._host}{path}"
        self._raw, self._arrivals, self._wanted = bytearray(), [], 0
        self._whole = asyncio.get_running_loop().create_future()
        sent = time.perf_counter()
        self._transport.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        async with asyncio.timeout(TIMEOUT):
            await self._whole
        answer = Answer(sent, self._arrivals, bytes(self._raw))
        if answer.status != 200:
            raise BadAnswer(self._asked, f"{answer.status}: {answer.body.decode(errors='replace').strip()}")
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        raw = self._raw
        raw += data
        self._arrivals.append((time.perf_counter(), len(raw)))
        if not self._wanted:
            self._wanted = wanted(raw)
        chunked = self._wanted < 0
        whole = raw.endswith(_LAST_CHUNK) if chunked else 0 < self._wanted <= len(raw)
        if whole and self._whole is not None and not self._whole.done():
            self._whole.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(HungUp(self._asked, len(self._raw)))


async def connect(host: str, port: int) -> Connection:
    """Open a connection. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(f"{host}:{port}"), host, port)
    return connection


# -- reading an answer --------------------------------------------------------------------------------------------


def wanted(raw: bytes | bytearray) -> int:
    """Bytes of the whole answer; -1 when it comes in chunks, 0 when its head is not whole yet."""
    end = raw.find(_HEAD_END)
    if end < 0:
        return 0
    for line in raw[:end].lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"transfer-encoding" and b"chunked" in value:
            return -1
        if name == b"content-length":
            return end + len(_HEAD_END) + int(value)
    return end + len(_HEAD_END)


def status(raw: bytes) -> int:
    """The status of an answer. Raises `BadAnswer` when it does not begin like one."""
    fields = raw[: raw.find(b"\r\n")].split(b" ", 2)
    if len(fields) < 2 or not fields[0].startswith(b"HTTP/1.") or not fields[1].isdigit():
        raise BadAnswer("a request", f"the answer is not HTTP: {raw[:40]!r}")
    return int(fields[1])


def body_start(raw: bytes) -> int:
    """Where the body's first byte stands: behind the head, and the size of the first chunk."""
    start = raw.find(_HEAD_END) + len(_HEAD_END)
    return raw.find(b"\r\n", start) + 2 if wanted(raw) < 0 else start


def body(raw: bytes) -> bytes:
    """The body, its chunks joined."""
    start = raw.find(_HEAD_END) + len(_HEAD_END)
    if wanted(raw) >= 0:
        return raw[start:]
    parts: list[bytes] = []
    while (line_end := raw.find(b"\r\n", start)) >= 0:
        size = int(raw[start:line_end].split(b";")[0], 16)
        if size == 0:
            break
        parts.append(raw[line_end + 2 : line_end + 2 + size])
        start = line_end + 2 + size + 2
    return b"".join(parts)
