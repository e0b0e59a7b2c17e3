"""A daemon whose models directory is a file system of a few megabytes: what does not fit is refused and leaves nothing.

The file system is a tmpfs in a mount namespace that ends with the daemon; the tests see it through /proc.
"""

import hashlib
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import MODELS, Daemon
from tests.unit.modelstore import tinygguf

SIZE = 6 << 20
PAGE = 4096
HEADER = "HTTP/1.1\r\nHost: localhost\r\n"
FULL = re.compile(r"insufficient disk space(: need \d+ bytes, have \d+)?")
NAMESPACES = (["unshare", "--user", "--map-root-user", "--mount"], ["unshare", "--mount"])
"""For everybody, where the system allows it, and for root."""
WORK = (".llamad", ".llamad/work")
MOUNT = 'mount -t tmpfs -o size="$0" tmpfs "$OLLAMA_MODELS" && exec "$@"'


class SmallDisk:
    """The daemon, and the disk that it works on."""

    def __init__(self, home: Path, unshare: list[str]) -> None:
        models = home / "models"
        models.mkdir()
        self.daemon = Daemon(home, {"OLLAMA_MODELS": str(models)}, [*unshare, "sh", "-c", MOUNT, str(SIZE)])
        self.root = Path(f"/proc/{self.daemon.process.pid}/root{models}")
        self.http = self.daemon.http
        self._ballast = self.root / "ballast"

    @property
    def used(self) -> int:
        return shutil.disk_usage(self.root).used

    def leave(self, room: int) -> None:
        """Fill the disk up to so many bytes."""
        self._ballast.unlink(missing_ok=True)
        self._ballast.write_bytes(bytes(shutil.disk_usage(self.root).free - room))
        assert shutil.disk_usage(self.root).free == room

    def fill(self) -> None:
        """Leave nothing, while the daemon is writing too."""
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(PAGE))

    def relieve(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def files(self) -> set[str]:
        """All that lies there, but for the directory where unfinished work has its place."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")} - {"ballast", *WORK}

    def is_written_to(self) -> bool:
        """Whether there is an unfinished blob."""
        return any(self.root.glob("blobs/llamad-*.tmp"))

    def upload(self, data: bytes) -> str:
        digest = digest_of(data)
        assert self.http.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
        return digest

    def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        answer = self.http.post(path, json={"stream": False, **body})
        return answer.status_code, answer.json() if answer.content else {}

    def models(self) -> list[str]:
        return [model["name"] for model in self.http.get("/api/tags").json()["models"]]


def may_mount(unshare: list[str], directory: Path) -> bool:
    if not shutil.which("unshare"):
        return False
    trial = [*unshare, "mount", "-t", "tmpfs", "tmpfs", str(directory)]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    home = tmp_path_factory.mktemp("small")
    unshare = next((command for command in NAMESPACES if may_mount(command, home)), None)
    if unshare is None:
        pytest.skip("no namespace here in which a tmpfs can be mounted")
    disk = SmallDisk(home, unshare)
    disk.daemon.add("base", "tinyrank-f16.gguf")
    yield disk
    assert disk.daemon.stop() == 0


@pytest.fixture
def disk(small_disk: SmallDisk) -> Iterator[SmallDisk]:
    """After each test: the models, the files and the room that were there before."""
    before = small_disk.models(), small_disk.files(), small_disk.used
    yield small_disk
    small_disk.relieve()
    assert (small_disk.models(), small_disk.files(), small_disk.used) == before


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_refused(answer: tuple[int, dict[str, Any]]) -> bool:
    status, body = answer
    return status == 500 and FULL.fullmatch(body["error"]) is not None


def connect(disk: SmallDisk) -> socket.socket:
    host, _, port = disk.daemon.address.partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def said_on(connection: socket.socket) -> bytes:
    """Everything until the daemon hangs up, in whatever way it does."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def test_an_upload_that_cannot_fit_is_refused_before_its_body_is_sent(disk: SmallDisk) -> None:
    with connect(disk) as connection:
        request = (
            f"POST /api/blobs/sha256:{'1' * 64} {HEADER}Content-Length: 1099511627776\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode())
        answer = said_on(connection)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert re.search(rb'"error":"insufficient disk space: need 1099511627776 bytes, have \d+"', answer)


def test_an_upload_of_unknown_length_is_refused_when_the_disk_is_full(disk: SmallDisk) -> None:
    data = bytes(SIZE + 1)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 1 << 20):
            yield data[start : start + (1 << 20)]

    answer = disk.http.post(f"/api/blobs/{digest_of(data)}", content=pieces())
    assert (answer.status_code, answer.json()) == (500, {"error": "insufficient disk space"})


def test_an_upload_is_refused_when_others_fill_the_disk_meanwhile(disk: SmallDisk) -> None:
    data = bytes(4 << 20)
    with connect(disk) as connection:
        request = f"POST /api/blobs/{digest_of(data)} {HEADER}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode() + data[: 2 << 20])
        while not disk.is_written_to():
            pass
        disk.fill()
        connection.sendall(data[2 << 20 :])
        answer = said_on(connection)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b'{"error":"insufficient disk space"}' in answer


def test_a_client_that_sends_less_than_it_said_leaves_nothing(disk: SmallDisk) -> None:
    """Even when what it sent has the digest."""
    with connect(disk) as connection:
        request = f"POST /api/blobs/{digest_of(b'abc')} {HEADER}Content-Length: 4\r\n\r\nabc"
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        assert b" 201 " not in said_on(connection)
    while disk.is_written_to():  # it hangs up before it tidies up
        pass


def test_a_layer_that_does_not_fit(disk: SmallDisk) -> None:
    disk.leave(20 * PAGE)
    assert is_refused(disk.post("/api/create", model="it", **{"from": "base"}, system="x" * 30 * PAGE))
    assert disk.models() == ["base:latest"]
    lines = disk.http.post("/api/create", json={"model": "it", "from": "base", "system": "x" * 30 * PAGE}).text
    assert FULL.search(lines.splitlines()[-1])


def test_a_create_with_a_little_more_room_each_time(disk: SmallDisk) -> None:
    """It fails at another step each time, in the end at none."""
    body = {"from": "base", "system": "one", "license": ["two", "three"], "template": "{{ .Prompt }}"}
    before = disk.files()
    refusals = 0
    for pages in range(20):
        disk.leave(pages * PAGE)
        status, answer = disk.post("/api/create", model="me/it", **body)
        if status == 200:
            break
        assert is_refused((status, answer)), answer
        assert (disk.models(), disk.files()) == (["base:latest"], before)
        refusals += 1
    assert 5 <= refusals < 19  # four layers, the config and the manifest need a page each
    assert sorted(disk.models()) == ["base:latest", "me/it:latest"]
    assert disk.http.request("DELETE", "/api/delete", json={"model": "me/it"}).status_code == 200


def test_a_model_stays_as_it_was_when_its_successor_does_not_fit(disk: SmallDisk) -> None:
    former = disk.post("/api/show", model="base")
    disk.leave(PAGE)
    assert is_refused(disk.post("/api/create", model="base", **{"from": "base"}, system="other", license="other"))
    assert disk.post("/api/show", model="base") == former


def test_copy_and_delete_on_a_full_disk(disk: SmallDisk) -> None:
    """A delete needs no room: it is the way out."""
    body = {"source": "base", "destination": "copy"}
    disk.leave(0)
    answer = disk.http.post("/api/copy", json=body)
    assert (answer.status_code, answer.json()) == (500, {"error": "insufficient disk space"})
    disk.relieve()
    assert disk.http.post("/api/copy", json=body).status_code == 200
    disk.leave(0)
    assert disk.http.request("DELETE", "/api/delete", json={"model": "copy"}).status_code == 200


def test_a_pull_that_does_not_fit(disk: SmallDisk) -> None:
    disk.leave(1 << 20)
    assert is_refused(disk.post("/api/pull", model="tinychat"))


def test_a_quantization_that_does_not_fit(disk: SmallDisk) -> None:
    """Neither the result stays nor anything on the way to it."""
    weights = (MODELS / "tinydraft-f16.gguf").read_bytes()
    disk.leave(2 << 20)
    digest = disk.upload(weights)
    assert is_refused(disk.post("/api/create", model="it", files={"it.gguf": digest}, quantize="Q8_0"))
    assert disk.models() == ["base:latest"]
    (disk.root / "blobs" / digest.replace(":", "-")).unlink()


def test_goes_on_serving(disk: SmallDisk) -> None:
    data = tinygguf.model()
    assert disk.post("/api/create", model="it", files={"it.gguf": disk.upload(data)})[0] == 200
    assert "it:latest" in disk.models()
    assert disk.http.request("DELETE", "/api/delete", json={"model": "it"}).status_code == 200
