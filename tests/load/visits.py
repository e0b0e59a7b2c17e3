"""One request of a client of the soak test, from its first byte to its end, wherever that is."""

import http.client
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from tests.load.wishes import Said, Wish, Wrong, judge, read

PATIENCE: Final = 90.0
"""Seconds without a sign of the daemon after which a request counts as stuck; everything else is judged without a
clock."""

DEATHS: Final = re.compile(
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
    "|an error was encountered while running the model: "
    "|llama runner process has terminated: "
)
"""How errors begin that tell of a runner's end: before the first word, after it, and while it loads."""


class Outcome(Enum):
    """How a request ended. Only the first four may happen."""

    FULL = "full and correct"
    BROKEN = "an error that tells of a runner's end"
    REFUSED = "another error"
    LEFT = "the client hung up"
    WRONG = "full and not correct"
    TORN = "no proper end"
    STUCK = "nothing for too long"


class Leave(Enum):
    """Where a client hangs up."""

    ASKING = "in the middle of the request"
    WAITING = "before the answer"
    HEADERS = "after the headers"
    LINES = "between lines"


@dataclass(frozen=True)
class Call:
    """A wish with all its variations; none of them changes the right answer."""

    wish: Wish
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    leave: Leave | None = None
    after: float = 0
    """Seconds, or lines, until the client hangs up."""
    rudely: bool = False
    """By a reset."""
    dawdles: bool = False
    """Takes its time over each line."""

    @property
    def body(self) -> dict[str, Any]:
        body = {**self.wish.body, **self.more}
        if "options" in body:
            body["options"] = {**self.wish.body.get("options", {}), **self.more.get("options", {})}
        return body

    @property
    def method(self) -> str:
        return "POST" if self.wish.body else "GET"

    def __str__(self) -> str:
        left = f", leaves {self.leave.value} ({self.after:.2f}{', rudely' * self.rudely})" if self.leave else ""
        return f"{self.wish.name} {json.dumps(self.more)}{left}{', dawdles' * self.dawdles}"


@dataclass
class Visit:
    """What became of a call. Moments are those of `time.monotonic`."""

    number: int
    client: int
    call: Call
    steps: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    outcome: Outcome | None = None
    detail: str = ""

    def note(self, what: str) -> None:
        self.steps.append((time.monotonic(), what))

    def end(self, outcome: Outcome, detail: str = "") -> None:
        self.outcome, self.detail = outcome, detail
        self.note(outcome.name)

    @property
    def begun(self) -> float:
        return self.steps[0][0]

    @property
    def ended(self) -> float:
        return self.steps[-1][0]

    def story(self, zero: float) -> str:
        way = " ".join(f"{what}@{moment - zero:.3f}" for moment, what in self.steps)
        return f"{self.number} client {self.client}: {self.call}: {way} {self.detail}".rstrip()


class _Left(Exception):
    """The client has hung up."""


class Client:
    """Asks one thing after another, on one connection as long as that lasts."""

    def __init__(self, address: str, over: threading.Event) -> None:
        self._address = address
        self._over = over
        self._connection: http.client.HTTPConnection | None = None

    def visit(self, visit: Visit, expected: Said | None) -> None:
        """Do as the call says, and note how it ended."""
        visit.note("begun")
        wish = visit.call.wish
        try:
            status, objects = self._again_if_closed(visit)
            visit.note("ended")
            if error := _unexpected(status, objects[-1], expected):
                visit.end(Outcome.BROKEN if DEATHS.match(error) else Outcome.REFUSED, f"{status} {error}")
            else:
                judge(wish, read(wish, status, objects), expected)
                visit.end(Outcome.FULL)
        except _Left:
            visit.end(Outcome.LEFT)
        except Wrong as wrong:
            visit.end(Outcome.WRONG, str(wrong))
        except TimeoutError:
            visit.end(Outcome.STUCK)
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            visit.end(Outcome.TORN, repr(error))
        if visit.outcome is not Outcome.FULL:
            self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _again_if_closed(self, visit: Visit) -> tuple[int, list[Any]]:
        """A connection that was kept may be closed by the daemon just when it is used again: clients try anew."""
        kept = self._connection is not None
        try:
            return self._exchange(visit)
        except (ConnectionError, http.client.RemoteDisconnected):
            if not kept or visit.steps[-1][1] not in ("begun", "asked"):
                raise
            visit.note("again")
            self.close()
            return self._exchange(visit)

    def _exchange(self, visit: Visit) -> tuple[int, list[Any]]:
        call = visit.call
        connection = self._connect()
        content = json.dumps(call.body).encode() if call.wish.body else b""
        if call.leave is Leave.ASKING:
            self._leave(call, lambda: _ask_half(connection, call, content))
        connection.request(call.method, call.wish.path, content, {"Content-Type": "application/json"})
        visit.note("asked")
        if call.leave is Leave.WAITING:
            self._over.wait(call.after)
            self._leave(call)
        response = connection.getresponse()
        visit.note(str(response.status))
        if call.leave is Leave.HEADERS:
            self._leave(call)
        if response.getheader("Content-Type", "").startswith("application/x-ndjson"):
            return response.status, self._lines(visit, response)
        return response.status, [json.loads(response.read())]

    def _lines(self, visit: Visit, response: http.client.HTTPResponse) -> list[Any]:
        objects: list[Any] = []
        for line in _cut(response):
            if not objects:
                visit.note("line")
            objects.append(json.loads(line))
            if visit.call.leave is Leave.LINES and len(objects) >= visit.call.after:
                self._leave(visit.call)
            if visit.call.dawdles:
                self._over.wait(0.01)
        return objects

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=PATIENCE)
            self._connection.connect()
        return self._connection

    def _leave(self, call: Call, before: Callable[[], None] = lambda: None) -> None:
        before()
        assert self._connection is not None
        if call.rudely:
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
        raise _Left


def _ask_half(connection: http.client.HTTPConnection, call: Call, content: bytes) -> None:
    connection.putrequest(call.method, call.wish.path)
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders(content[: len(content) // 2])


def _cut(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Lines. Raises `IncompleteRead` for a body that was broken off, which `readline` takes for a proper end."""
    rest = b""
    while data := response.read1(1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
    if rest:
        raise ValueError(f"half a line: {rest!r}")


def _unexpected(status: int, last: Mapping[str, Any], expected: Said | None) -> str:
    """The error that came in place of an answer; empty for none, or for the one that belongs there."""
    error: str = last.get("error", "")
    if status != 200 and not error:
        raise ValueError(f"status {status} without an error: {last!r}")
    if DEATHS.match(error):
        return error
    return "" if expected is not None and expected.status == status != 200 else error
