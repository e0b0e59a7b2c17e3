"""One file that a client hands over: its message, the work on a thread, the lines of the answer."""

import os
import socket
import threading
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog

from modelstore import clone
from modelstore.digest import Digest
from modelstore.errors import InvalidDigest
from modelstore.store import Store
from server.errors import ApiError, describe
from server.handover import MAX_LINE
from server.jobs import JobStopped

_log = structlog.get_logger(__name__)

PATIENCE: Final = 10.0
"""Seconds for a client to take a line of the answer."""


class Message(msgspec.Struct):
    """What the client says. What else it says is for later versions."""

    digest: str


class Arrival:
    """One file: a connection, the descriptor that came with its message, and what the client says it is."""

    def __init__(self, connection: socket.socket) -> None:
        """Read the message. Raises `ApiError`, `InvalidDigest`, `OSError`.

        `EOFError` when the client is gone, or the system has not let the descriptor through.
        """
        self._connection = connection
        self._fd = -1
        self._stopped = threading.Event()
        self.done = 0
        """Bytes so far."""
        line, descriptors, _, _ = socket.recv_fds(connection, MAX_LINE, 1, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        try:
            if not descriptors:
                raise EOFError
            self.digest = _digest(line)
        except BaseException:
            for fd in descriptors:
                os.close(fd)
            raise
        self._fd = descriptors[0]
        os.set_inheritable(self._fd, False)
        connection.settimeout(PATIENCE)

    def run(self, store: Store) -> None:
        """Bring the file into the store, and answer. Raises nothing. On a thread."""
        try:
            way = clone.take(store, self._fd, self.digest, self._report)
            _log.info("file handed over", digest=str(self.digest), bytes=self.done, how=way.value)
            _say(self._connection, {"status": way.value})
        except (JobStopped, PermissionError) as reason:
            # What may not be done with somebody else's descriptor may well be done with what is uploaded.
            _log.debug("not taken", digest=str(self.digest), reason=str(reason))
        except Exception as error:
            refuse(self._connection, error)
        finally:
            self.close()

    def stop(self) -> None:
        """Have `run` end as soon as it can, and the client know at once."""
        self._stopped.set()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        os.close(self._fd)
        self._connection.close()

    def _report(self, done: int, total: int) -> None:
        self.done = done
        if self._stopped.is_set() or not _say(self._connection, {"completed": done, "total": total}):
            raise JobStopped


def refuse(connection: socket.socket, error: Exception) -> None:
    """Answer with an error."""
    _say(connection, _refusal(error))


def _digest(line: bytes) -> Digest:
    """Raises `ApiError`, `InvalidDigest`."""
    try:
        text = msgspec.json.decode(line, type=Message).digest
    except msgspec.DecodeError as error:
        raise ApiError(400, "a line with a digest is required") from error
    digest = Digest.parse(text)
    if str(digest) != text:
        raise InvalidDigest(text)
    return digest


def _refusal(error: Exception) -> dict[str, Any]:
    answer = describe(error)
    if answer is None:
        _log.error("a file that was handed over is lost", exc_info=error)
        answer = ApiError(500, "internal server error")
    return {"status": answer.status, "error": answer.message}


def _say(connection: socket.socket, line: dict[str, Any]) -> bool:
    """Send a line; False if the client does not take it."""
    try:
        connection.sendall(msgspec.json.encode(line) + b"\n")
    except OSError:
        return False
    return True
