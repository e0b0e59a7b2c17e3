"""The sending end of `server.handover`: an open file goes to a daemon on this machine."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from server.cli.answer import Json, text, whole
from server.cli.errors import ServerError

_REACH: Final = 2.0
"""Seconds to get through to the socket."""
_BEAT: Final = 0.5
"""Seconds after which `sent` is called although nothing has happened, as it is what notices an interrupt."""


def hand_over(address: str, digest: str, fd: int, sent: Callable[[int], None]) -> bool:
    """Have the daemon take the open file as a blob; `sent` hears how many bytes more it has.

    False if it cannot be reached or gives up, so that the file has to be uploaded. Raises ServerError when the daemon
    refuses the file itself, and what `sent` raises; then the daemon forgets what it has.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REACH)
        try:
            connection.connect(address)
            socket.send_fds(connection, [json.dumps({"digest": digest}).encode()], [fd])
        except OSError:
            return False
        connection.settimeout(_BEAT)
        return _followed(connection, sent)


def _followed(connection: socket.socket, sent: Callable[[int], None]) -> bool:
    done = 0
    for line in _lines(connection):
        if line is None:
            sent(0)
        elif error := text(line, "error"):
            raise ServerError(error, whole(line, "status"))
        elif "status" in line:
            return True
        else:
            before, done = done, whole(line, "completed")
            sent(done - before)
    sent(-done)
    return False


def _lines(connection: socket.socket) -> Iterator[Json | None]:
    """What the daemon says until it hangs up; None where it has said nothing for a while."""
    rest = b""
    while True:
        try:
            data = connection.recv(65536)
        except TimeoutError:
            yield None
            continue
        except OSError:
            return
        if not data:
            return
        *complete, rest = (rest + data).split(b"\n")
        for line in complete:
            with suppress(ValueError):
                yield json.loads(line)
