"""Handing over a file: what the client does with each answer."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from server.cli.errors import ServerError
from server.cli.handover import hand_over

DATA = b"weights" * 10


class Taker:
    """A daemon's socket that takes one file and says what it is told."""

    def __init__(self, address: str, says: Sequence[bytes]) -> None:
        self.message: Any = None
        self.content = b""
        self.gone = False
        self._says = says
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            message, (fd,), _, _ = socket.recv_fds(connection, 4096, 1)
            self.message = json.loads(message)
            self.content = os.pread(fd, 4096, 0)
            os.close(fd)
            for piece in self._says:
                connection.sendall(piece)
            if self._says and not self._says[-1].endswith(b"\n"):
                self.gone = connection.recv(1) == b""

    def end(self) -> None:
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "s")


@pytest.fixture
def taking(address: str) -> Iterator[Callable[..., Taker]]:
    takers: list[Taker] = []

    def start(*says: bytes) -> Taker:
        takers.append(Taker(address, says))
        return takers[-1]

    yield start
    for taker in takers:
        taker.end()


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "model.gguf").write_bytes(DATA)
    opened = os.open(tmp_path / "model.gguf", os.O_RDONLY)
    yield opened
    os.close(opened)


def line(**members: Any) -> bytes:
    return json.dumps(members).encode() + b"\n"


def test_the_daemon_gets_the_open_file_and_tells_how_far_it_is(
    taking: Callable[..., Taker], address: str, fd: int
) -> None:
    said = line(completed=30, total=70) + line(completed=70, total=70) + line(status="copied")
    taker = taking(said[:10], said[10:50], said[50:])
    counts: list[int] = []
    assert hand_over(address, "sha256:1", fd, counts.append)
    taker.end()
    assert (taker.message, taker.content) == ({"digest": "sha256:1"}, DATA)
    assert [count for count in counts if count] == [30, 40]


def test_a_refused_file_is_an_error(taking: Callable[..., Taker], address: str, fd: int) -> None:
    taking(line(status=500, error="insufficient disk space"))
    with pytest.raises(ServerError, match=r"^insufficient disk space$") as caught:
        hand_over(address, "sha256:1", fd, lambda count: None)
    assert caught.value.status == 500


@pytest.mark.parametrize("said", [(), (line(completed=30, total=70),), (b"no json\n",)])
def test_a_daemon_that_gives_up_gets_an_upload(
    taking: Callable[..., Taker], address: str, fd: int, said: tuple[bytes, ...]
) -> None:
    """What was counted is taken back."""
    taking(*said)
    counts: list[int] = []
    assert not hand_over(address, "sha256:1", fd, counts.append)
    assert sum(counts) == 0


def test_nobody_there(address: str, fd: int) -> None:
    assert not hand_over(address, "sha256:1", fd, lambda count: None)
    assert not hand_over("\0llamad-" + "0" * 32, "sha256:1", fd, lambda count: None)


def test_an_interrupt_hangs_up(taking: Callable[..., Taker], address: str, fd: int) -> None:
    """Even while the daemon says nothing."""
    taker = taking(b'{"completed"')

    def interrupted(count: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        hand_over(address, "sha256:1", fd, interrupted)
    taker.end()
    assert taker.gone
