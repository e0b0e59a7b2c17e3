"""Clients that leave: after so many bytes of the answer, with a farewell or without."""

import json
import socket
import struct
from typing import Any

from tests.integration.daemon import Daemon

LONG = {"type": "array", "items": {"enum": ["one", "two", "three"]}, "minItems": 500}
"""A format that keeps the model talking."""


class Caller:
    """One connection with one request on it."""

    def __init__(self, daemon: Daemon, body: dict[str, Any], path: str = "/api/generate") -> None:
        host, _, port = daemon.address.rpartition(":")
        content = json.dumps(body).encode()
        fields = {"Host": daemon.address, "Content-Length": len(content), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)

    def hear(self, size: int) -> bytes:
        """So many bytes of the answer, status line and all; fewer if it ends."""
        heard = b""
        while len(heard) < size and (data := self.socket.recv(size - len(heard))):
            heard += data
        return heard

    def hang_up(self, *, rudely: bool = False) -> None:
        """`rudely`: by a reset, as of a process that was killed with data unread."""
        if rudely:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def hang_up_everywhere(daemon: Daemon, model: str, times: int) -> None:
    """Leave while the model is loaded, while others have the places, before the first token, in the middle of the
    answer, near its end, with streams and without; in all `times` clients."""
    talk = {"model": model, "prompt": "Once upon a time", "raw": True, "format": LONG}
    short = {"model": model, "prompt": "Once", "raw": True, "options": {"num_predict": 3}}
    wishes: list[tuple[dict[str, Any], int]] = [
        (talk, 0),  # loading, or waiting for what comes
        (talk, 600),  # in the middle of the answer
        ({**talk, "stream": False}, 0),
        (short, 400),  # about when it ends
        ({**talk, "prompt": "word " * 300}, 1),  # as the answer begins
        ({**short, "stream": False}, 1),
        ({"model": model, "keep_alive": "5m"}, 0),  # only to load
    ]
    for number in range(0, times, 5):
        if number % 25 == 0:
            daemon.http.post("/api/generate", json={"model": model, "keep_alive": 0})
        crowd = [Caller(daemon, wishes[(number + i) % len(wishes)][0]) for i in range(min(5, times - number))]
        for i, caller in enumerate(crowd):
            if number % 25 and i < 2:  # the rest waits for them
                caller.hear(wishes[(number + i) % len(wishes)][1])
            caller.hang_up(rudely=(number // 5 + i) % 2 == 0)
