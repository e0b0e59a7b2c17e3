"""Files handed over by descriptor, through a real socket into a real store."""

import asyncio
import errno
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelstore import clone
from modelstore.digest import Digest
from modelstore.errors import DiskFull
from modelstore.store import Store
from server import arrival, reception
from server.app import create_app
from server.handover import HEADER, address_in
from server.reception import Reception
from server.services import Services

pytestmark = pytest.mark.anyio

DATA = b"some weights" * 1000
DIGEST = Digest.of(DATA)
MESSAGE = json.dumps({"digest": str(DIGEST), "since": 2}).encode()


@pytest.fixture
async def door(services: Services) -> AsyncIterator[Reception]:
    services.reception.open(services.store, services.activity)
    yield services.reception
    await services.reception.close()
    assert services.activity.active == 0


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA)
    return path


def connected(door: Reception) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address_in(door.header))
    return connection


def answers(connection: socket.socket) -> list[Any]:
    """All lines until the daemon hangs up. Blocks."""
    said: list[Any] = []
    with connection, connection.makefile("rb") as lines, suppress(ConnectionResetError):
        for line in lines:
            said.append(json.loads(line))
    return said


def hand_over(door: Reception, path: Path, message: bytes = MESSAGE, flags: int = os.O_RDONLY) -> list[Any]:
    """What the daemon says to a file. Blocks."""
    connection = connected(door)
    fd = os.open(path, flags)
    try:
        socket.send_fds(connection, [message], [fd])
    finally:
        os.close(fd)
    return answers(connection)


def files_of(services: Services) -> list[str]:
    return [path.name for path in services.store.layout.blobs.iterdir()]


async def test_a_file_becomes_a_blob(door: Reception, services: Services, source: Path) -> None:
    *progress, last = await asyncio.to_thread(hand_over, door, source)
    assert progress == [{"completed": len(DATA), "total": len(DATA)}]
    assert last["status"] in ("cloned", "copied")
    assert services.store.blobs.read(DIGEST) == DATA
    assert await asyncio.to_thread(hand_over, door, source) == [{"status": "present"}]
    assert files_of(services) == [DIGEST.file_name]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (json.dumps({"digest": "sha256:" + "0" * 64}).encode(), f'expected "sha256:{"0" * 64}", got "{DIGEST}"'),
        (json.dumps({"digest": str(DIGEST).upper()}).encode(), "invalid digest format"),
        (json.dumps({"digest": DIGEST.file_name}).encode(), "invalid digest format"),
        (json.dumps({"digest": "../../x"}).encode(), "invalid digest format"),
        (b'{"digest": 1}', "a line with a digest is required"),
        (b"[]", "a line with a digest is required"),
        (b"\xff", "a line with a digest is required"),
        (MESSAGE + b" " * 300 + b"x", ""),
    ],
)
async def test_a_bad_message_is_refused(
    door: Reception, services: Services, source: Path, message: bytes, error: str
) -> None:
    """A message that is too long is cut, and read as far as it goes."""
    last = (await asyncio.to_thread(hand_over, door, source, message))[-1]
    if error:
        assert last["status"] == 400
        assert error in last["error"]
        assert files_of(services) == []
    else:
        assert last["status"] in ("cloned", "copied")


async def test_where_descriptors_do_not_come_through_the_client_uploads(
    door: Reception, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where they may not be read: a system may confine programs so."""
    connection = connected(door)
    connection.send(MESSAGE)
    assert await asyncio.to_thread(answers, connection) == []

    def refused(store: Store, fd: int, digest: Digest, report: clone.Count) -> clone.Way:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(clone, "take", refused)
    assert await asyncio.to_thread(hand_over, door, source) == []


async def test_only_files_are_taken(door: Reception, services: Services, source: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    cases = [
        (tmp_path, os.O_RDONLY),
        (tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK),
        (Path("/dev/zero"), os.O_RDONLY),
        (source, os.O_WRONLY),
    ]
    for path, flags in cases:
        answer = await asyncio.to_thread(hand_over, door, path, MESSAGE, flags)
        assert answer == [{"status": 400, "error": "not a regular file that can be read"}]
    assert files_of(services) == []


async def test_further_descriptors_are_closed(door: Reception, source: Path) -> None:
    """One file a message; the daemon keeps none open."""
    before = len(os.listdir("/dev/fd"))
    connection = connected(door)
    fds = [os.open(source, os.O_RDONLY) for _ in range(20)]
    socket.send_fds(connection, [MESSAGE], fds)
    for fd in fds:
        os.close(fd)
    assert (await asyncio.to_thread(answers, connection))[-1]["status"] in ("cloned", "copied")
    assert len(os.listdir("/dev/fd")) == before


async def test_a_full_disk_is_told(
    door: Reception, services: Services, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(store: Store, fd: int, digest: Digest, report: clone.Count) -> clone.Way:
        raise DiskFull(10, 5)

    monkeypatch.setattr(clone, "take", full)
    assert await asyncio.to_thread(hand_over, door, source) == [
        {"status": 500, "error": "insufficient disk space: need 10 bytes, have 5"}
    ]


async def test_what_nobody_foresaw_is_told_without_details(
    door: Reception, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(store: Store, fd: int, digest: Digest, report: clone.Count) -> clone.Way:
        raise ZeroDivisionError

    monkeypatch.setattr(clone, "take", broken)
    assert await asyncio.to_thread(hand_over, door, source) == [{"status": 500, "error": "internal server error"}]


async def test_fifty_that_say_nothing_hold_nobody_up(door: Reception, services: Services, source: Path) -> None:
    """Those that have been silent longest are let go for new ones."""
    silent: list[socket.socket] = []
    for _ in range(50):
        silent.append(connected(door))
        await asyncio.sleep(0)
    assert (await asyncio.to_thread(hand_over, door, source))[-1]["status"] in ("cloned", "copied")
    assert await asyncio.to_thread(silent[0].recv, 1) == b""
    for connection in silent:
        connection.close()


async def test_who_says_nothing_is_let_go(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "PATIENCE", 0.0)
    services.reception.open(services.store, services.activity)
    assert await asyncio.to_thread(answers, connected(services.reception)) == []
    await services.reception.close()


class Halted:
    """A source that stands still after its first window, until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.undone = threading.Semaphore(0)
        take = clone.take

        def halting(store: Store, fd: int, digest: Digest, report: clone.Count) -> clone.Way:
            def halt(done: int, total: int) -> None:
                self.begun.release()
                assert self.go.wait(30)
                report(done, total)

            try:
                return take(store, fd, digest, halt)
            finally:
                self.undone.release()

        monkeypatch.setattr(clone, "take", halting)


async def test_a_client_that_dies_leaves_nothing(
    door: Reception, services: Services, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halted = Halted(monkeypatch)
    connection = connected(door)
    fd = os.open(source, os.O_RDONLY)
    socket.send_fds(connection, [MESSAGE], [fd])
    os.close(fd)
    await asyncio.to_thread(halted.begun.acquire)
    assert len(files_of(services)) == 1
    connection.close()
    halted.go.set()
    await asyncio.to_thread(halted.undone.acquire)
    assert files_of(services) == []


async def test_the_end_of_the_daemon_leaves_nothing(
    services: Services, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of those that are worked on nor of those that wait."""
    halted = Halted(monkeypatch)
    services.reception.open(services.store, services.activity)
    calls = [asyncio.create_task(asyncio.to_thread(hand_over, services.reception, source)) for _ in range(5)]
    for _ in range(reception.THREADS):
        await asyncio.to_thread(halted.begun.acquire)
    while services.activity.active < len(calls):  # noqa: ASYNC110  (nobody tells how many have come)
        await asyncio.sleep(0)
    closing = asyncio.create_task(services.reception.close())
    await asyncio.sleep(0)
    halted.go.set()
    await closing
    assert await asyncio.gather(*calls) == [[]] * len(calls)
    assert files_of(services) == []
    assert services.activity.active == 0


async def test_a_source_that_stands_still_gives_up_its_place(
    services: Services, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "STALL", 0.01)
    halted = Halted(monkeypatch)
    services.reception.open(services.store, services.activity)
    assert await asyncio.to_thread(hand_over, services.reception, source) == []
    assert services.activity.active == 0
    halted.go.set()
    await asyncio.to_thread(halted.undone.acquire)
    assert files_of(services) == []
    await services.reception.close()


async def test_who_cannot_wait_is_let_go(services: Services, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files at once, or a daemon on its way out: the client uploads, and learns the rest there."""
    monkeypatch.setattr(reception, "WAITING", 0)
    services.reception.open(services.store, services.activity)
    assert await asyncio.to_thread(hand_over, services.reception, source) == []
    monkeypatch.undo()
    services.activity.draining = True
    assert await asyncio.to_thread(hand_over, services.reception, source) == []
    await services.reception.close()


async def test_a_client_that_takes_no_answer_is_left(
    door: Reception, services: Services, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "PATIENCE", 0.001)
    ended = threading.Event()

    def talkative(store: Store, fd: int, digest: Digest, report: clone.Count) -> clone.Way:
        try:
            while True:
                report(0, 1)
        finally:
            ended.set()

    monkeypatch.setattr(clone, "take", talkative)
    connection = connected(door)
    fd = os.open(source, os.O_RDONLY)
    socket.send_fds(connection, [MESSAGE], [fd])
    os.close(fd)
    assert await asyncio.to_thread(ended.wait, 30)
    connection.close()


async def test_without_sockets_of_that_kind_there_is_no_header(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> bool:
        return False

    def refused() -> socket.socket:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(reception, "is_possible", nothing)
    services.reception.open(services.store, services.activity)
    monkeypatch.undo()
    monkeypatch.setattr(reception, "_bound", refused)
    services.reception.open(services.store, services.activity)
    assert services.reception.header == ""
    await services.reception.close()


async def test_elsewhere_the_socket_is_a_file_in_a_directory_of_its_own(
    services: Services, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    services.reception.open(services.store, services.activity)
    directory = Path(address_in(services.reception.header)).parent
    assert directory.stat().st_mode & 0o777 == 0o711
    assert services.reception.header == f"unix:{directory}/handover"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{directory}/handover")
    await services.reception.close()
    assert not directory.exists()


async def test_only_clients_on_this_machine_are_told(door: Reception, services: Services) -> None:
    """And only about files that are missing."""
    app = create_app(services)
    path = f"/api/blobs/{DIGEST}"
    for peer, header in [("127.0.0.1", door.header), ("::1", door.header), ("::ffff:127.0.0.1", door.header),
                         ("192.168.1.7", None), ("172.17.0.1", None)]:  # fmt: skip
        transport = httpx.ASGITransport(app, client=(peer, 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as http:
            answer = await http.head(path)
            assert (answer.status_code, answer.headers.get(HEADER)) == (404, header)
    services.store.blobs.put(DATA)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:11434") as http:
        assert HEADER not in (await http.head(path)).headers
