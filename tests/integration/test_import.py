# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (the replay kit's proxy has no types)
"""Files of this machine: into the store of a real daemon without going through HTTP, whole or not at all."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.handover import HEADER, address_in
from tests.integration.daemon import MODELS, ROOT, Daemon
from tests.replay.proxy import Proxy

TINY = "tinychat-q8_0.gguf"
LARGE = 512 << 20
"""Bytes of a file of zeros that takes a moment to copy and hash, and no room."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that may die."""
    running = Daemon(tmp_path / "home", {"LLAMAD_DRAIN_TIMEOUT": "0", "LLAMAD_SPARE_RUNNER": "0"})
    yield running
    running.stop()


@pytest.fixture
def proxy(daemon: Daemon) -> Iterator[Proxy]:
    """Notes what the command line asks for over HTTP."""
    between = Proxy(daemon.address)
    yield between
    between.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file and its digest."""
    path = tmp_path_factory.mktemp("large") / "large.gguf"
    with path.open("wb") as file:
        file.truncate(LARGE)
    state = hashlib.sha256()
    for _ in range(LARGE >> 20):
        state.update(bytes(1 << 20))
    return path, f"sha256:{state.hexdigest()}"


def command(address: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "OLLAMA_HOST": address, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "server", *words],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def asked(proxy: Proxy) -> list[tuple[str, str]]:
    return [(request["method"], request["path"]) for request in proxy.take()]


def digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def blobs(daemon: Daemon) -> Path:
    return daemon.home / ".ollama" / "models" / "blobs"


def handed(daemon: Daemon, path: Path, digest: str, flags: int = os.O_RDONLY) -> socket.socket:
    """A connection over which the file has been handed to the daemon."""
    header = daemon.http.head(f"/api/blobs/{digest}").headers[HEADER]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address_in(header))
    fd = os.open(path, flags)
    socket.send_fds(connection, [json.dumps({"digest": digest}).encode()], [fd])
    os.close(fd)
    return connection


def answers(connection: socket.socket) -> list[Any]:
    with connection, connection.makefile("rb") as lines:
        return [json.loads(line) for line in lines]


def test_create_sends_no_file_over_http(daemon: Daemon, proxy: Proxy, tmp_path: Path) -> None:
    """What is printed is what an upload prints."""
    shutil.copy(MODELS / TINY, tmp_path)
    (tmp_path / "Modelfile").write_text(f"FROM ./{TINY}\n")
    digest = digest_of(MODELS / TINY)
    done = command(proxy.address, tmp_path, "create", "handed")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[:2] == ["gathering model components", f"copying file {digest} 100%"]
    assert done.stderr.splitlines()[-1] == "success"
    assert asked(proxy) == [("HEAD", f"/api/blobs/{digest}"), ("POST", "/api/create")]
    assert digest_of(blobs(daemon) / digest.replace(":", "-")) == digest
    assert any("file handed over" in line and digest in line for line in daemon.log)


def test_a_file_is_run_without_a_modelfile(daemon: Daemon, proxy: Proxy, tmp_path: Path) -> None:
    """The second time there is nothing to import."""
    shutil.copy(MODELS / "tinychat-f16.gguf", tmp_path)
    done = command(proxy.address, tmp_path, "run", "./tinychat-f16.gguf", "Hello")
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "using ./tinychat-f16.gguf as tinychat:f16")
    assert len(done.stdout) > 2
    assert ("POST", "/api/create") in asked(proxy)
    done = command(proxy.address, tmp_path, "run", "./tinychat-f16.gguf", "Hello")
    assert (done.returncode, done.stderr) == (0, "using ./tinychat-f16.gguf as tinychat:f16\n")
    assert asked(proxy) == [("POST", "/api/show"), ("POST", "/api/show"), ("POST", "/api/generate")]
    shutil.copy(MODELS / TINY, tmp_path / "tinychat-f16.gguf")
    done = command(proxy.address, tmp_path, "run", "./tinychat-f16.gguf", "Hello")
    assert done.returncode == 1
    assert "a model tinychat:f16 with other weights is there" in done.stderr


def test_what_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    """Another content, and what has none."""
    os.mkfifo(tmp_path / "fifo")
    digest = f"sha256:{'1' * 64}"
    before = sorted(os.listdir(blobs(daemon)))
    *_, last = answers(handed(daemon, MODELS / "bare.gguf", digest))
    assert last["status"] == 400
    assert last["error"].startswith(f'digest mismatch, expected "{digest}", got')
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        *_, last = answers(handed(daemon, path, digest, os.O_RDONLY | os.O_NONBLOCK))
        assert last == {"status": 400, "error": "not a regular file that can be read"}
    assert sorted(os.listdir(blobs(daemon))) == before


def test_fifty_connections_that_say_nothing_hold_nobody_up(daemon: Daemon) -> None:
    digest = digest_of(MODELS / "bare.gguf")
    header = daemon.http.head(f"/api/blobs/sha256:{'1' * 64}").headers[HEADER]
    silent = [socket.socket(socket.AF_UNIX) for _ in range(50)]
    for connection in silent:
        connection.connect(address_in(header))
    assert daemon.http.get("/api/version").status_code == 200
    assert answers(handed(daemon, MODELS / "bare.gguf", digest))[-1]["status"] in ("cloned", "copied")
    for connection in silent:
        connection.close()


def test_a_client_that_dies_leaves_nothing(own: Daemon, large: tuple[Path, str]) -> None:
    """The daemon notices, and ends without a rest."""
    before = sorted(os.listdir(blobs(own)))
    connection = handed(own, *large)
    assert connection.recv(1)
    connection.close()
    assert own.stop() == 0
    assert sorted(os.listdir(blobs(own))) == before


def test_a_daemon_that_is_ended_leaves_nothing(own: Daemon, large: tuple[Path, str]) -> None:
    before = sorted(os.listdir(blobs(own)))
    connection = handed(own, *large)
    assert connection.recv(1)
    assert own.stop() == 0
    with connection, connection.makefile("rb") as lines:
        assert b"status" not in lines.read()
    assert sorted(os.listdir(blobs(own))) == before


def test_a_daemon_that_is_killed_leaves_nothing_to_be_seen(
    own: Daemon, large: tuple[Path, str], tmp_path: Path
) -> None:
    """The rest is no blob; it is removed at a start when nobody can be working on it any more."""
    path, digest = large
    before = set(os.listdir(blobs(own)))
    connection = handed(own, path, digest)
    assert connection.recv(1)
    own.process.send_signal(signal.SIGKILL)
    own.process.wait(30)
    connection.close()
    left = set(os.listdir(blobs(own))) - before
    assert not any(name.startswith("sha256") for name in left)
    for name in left:
        os.utime(blobs(own) / name, (1, 1))
    second = Daemon(own.home)
    assert second.http.head(f"/api/blobs/{digest}").status_code == 404
    assert second.stop() == 0
    assert set(os.listdir(blobs(own))) == before
