"""The receiving end of `handover`: files that clients on this machine hand over, brought into the store.

    connected ──its message──▶ waiting ──a thread is free──▶ worked on ──▶ answered, closed
        ├ silent: dropped after PATIENCE             ├ no progress for STALL: given up, its place is free
        └ too many of them: the oldest is dropped    └ client gone, daemon stops: undone, nothing stays

A client that is dropped uploads. Connections are the event loop's; copying and hashing happen on threads, which do not
keep the process alive: a file system may never answer.
"""

import asyncio
import os
import secrets
import socket
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from typing import Final

import structlog

from modelstore.errors import InvalidDigest
from modelstore.store import Store
from server.arrival import Arrival, refuse
from server.errors import ApiError
from server.handover import header_value, is_possible
from server.middleware import Activity

_log = structlog.get_logger(__name__)

SILENT: Final = 32
"""Connections that have not said anything yet."""
WAITING: Final = 64
"""Files that wait for a thread."""
THREADS: Final = 4
PATIENCE: Final = 10.0
"""Seconds for a client to send its message."""
STALL: Final = 120.0
"""Seconds without progress. The last flush to a slow disk has to fit in."""
LAST_WORDS: Final = 2.0
"""Seconds for threads to clean up when the daemon ends."""
_BREATH: Final = 1.0
"""Seconds to stop accepting when the process has no descriptor left."""


class Reception:
    """One listening socket and everything that came in through it. Everything but `Arrival.run` is the loop's."""

    def __init__(self) -> None:
        self.header = ""
        """What tells clients the way; empty while there is none."""
        self._listener: socket.socket | None = None
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._waiting: deque[Arrival] = deque()
        self._running: dict[Arrival, asyncio.TimerHandle] = {}
        self._idle = asyncio.Event()
        self._closed = False

    def open(self, store: Store, activity: Activity) -> None:
        """Listen. What comes in counts as activity. Where the system has no such sockets, clients upload."""
        self._store = store
        self._activity = activity
        self._loop = asyncio.get_running_loop()
        if not is_possible():
            return
        try:
            self._listener = _bound()
        except OSError as error:
            _log.info("files cannot be handed over", reason=error.strerror)
            return
        self.header = header_value(_text(self._listener.getsockname()))
        self._loop.add_reader(self._listener, self._accept)

    async def close(self) -> None:
        """Stop, and give what is under way a moment to clean up."""
        self.stop()
        if self._running:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), LAST_WORDS)

    def stop(self) -> None:
        """Stop listening, and end what is under way."""
        self._closed = True
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            _remove(self._listener)
            self._listener, self.header = None, ""
        for connection in list(self._silent):
            self._drop(connection)
        while self._waiting:
            self._discard(self._waiting.popleft())
        for arrival in self._running:
            arrival.stop()

    def _accept(self) -> None:
        assert self._listener is not None, "only called while it listens"
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            _log.warning("cannot accept a file", reason=error.strerror)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_BREATH, self._resume)
            return
        connection.setblocking(False)
        if len(self._silent) >= SILENT:
            self._drop(next(iter(self._silent)))
        self._silent[connection] = self._loop.call_later(PATIENCE, self._drop, connection)
        self._loop.add_reader(connection, self._hear, connection)

    def _resume(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener, self._accept)

    def _forget(self, connection: socket.socket) -> None:
        self._silent.pop(connection).cancel()
        self._loop.remove_reader(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()

    def _hear(self, connection: socket.socket) -> None:
        """The client has said something, or is gone."""
        self._forget(connection)
        try:
            arrival = Arrival(connection)
        except (OSError, EOFError):
            connection.close()
        except (ApiError, InvalidDigest) as error:
            refuse(connection, error)
            connection.close()
        else:
            self._admit(arrival)

    def _admit(self, arrival: Arrival) -> None:
        self._activity.enter()
        if self._activity.draining or len(self._waiting) >= WAITING:
            self._discard(arrival)
            return
        self._waiting.append(arrival)
        self._begin()

    def _discard(self, arrival: Arrival) -> None:
        arrival.close()
        self._activity.leave()

    def _begin(self) -> None:
        """Start what there is a thread for."""
        while self._waiting and len(self._running) < THREADS and not self._closed:
            arrival = self._waiting.popleft()
            self._idle.clear()
            self._running[arrival] = self._loop.call_later(STALL, self._watch, arrival, -1)
            threading.Thread(target=self._work, args=(arrival,), name="import", daemon=True).start()

    def _work(self, arrival: Arrival) -> None:
        arrival.run(self._store)
        with suppress(RuntimeError):  # the loop is closed: the daemon is gone before the work
            self._loop.call_soon_threadsafe(self._end, arrival)

    def _watch(self, arrival: Arrival, before: int) -> None:
        if arrival.done == before:
            _log.warning("a file that is handed over does not get on", digest=str(arrival.digest), at=before)
            arrival.stop()
            self._end(arrival)
        else:
            self._idle.clear()
            self._running[arrival] = self._loop.call_later(STALL, self._watch, arrival, arrival.done)

    def _end(self, arrival: Arrival) -> None:
        timer = self._running.pop(arrival, None)
        if timer is None:  # it was given up before
            return
        timer.cancel()
        self._activity.leave()
        self._begin()
        if not self._running:
            self._idle.set()


def _bound() -> socket.socket:
    """A listening socket under a name that nobody can guess. Raises `OSError`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = "" if sys.platform == "linux" else tempfile.mkdtemp(prefix="llamad-")
    try:
        if directory:
            os.chmod(directory, 0o711)  # as open to the users of this machine as the port is
            listener.bind(os.path.join(directory, "handover"))
            os.chmod(os.path.join(directory, "handover"), 0o666)
        else:
            listener.bind(f"\0llamad-{secrets.token_hex(16)}")
        listener.listen(SILENT)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        _clear(directory)
        raise
    return listener


def _text(name: str | bytes) -> str:
    """A socket's address; abstract ones come as bytes."""
    return name if isinstance(name, str) else name.decode()


def _remove(listener: socket.socket) -> None:
    name = _text(listener.getsockname())
    listener.close()
    if not name.startswith("\0"):
        _clear(os.path.dirname(name))


def _clear(directory: str) -> None:
    if directory:
        with suppress(OSError):
            os.unlink(os.path.join(directory, "handover"))
        with suppress(OSError):
            os.rmdir(directory)
