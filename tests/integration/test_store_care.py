"""A daemon that runs models of another store, checks both, and tidies up its own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelstore import bundled
from modelstore.store import Store
from tests.integration.daemon import Daemon

NAME = "tinychat:latest"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody else's store, with one model."""
    root = tmp_path_factory.mktemp("other") / "models"
    bundled.pull(Store.open(root), bundled.names()[0], lambda event: None)
    return root


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, other: Path) -> Iterator[Daemon]:
    """A daemon that looks there, and has no models itself."""
    nowhere = other / "nowhere"
    running = Daemon(
        tmp_path_factory.mktemp("home"),
        {"OLLAMA_MODELS_EXTRA": f"{other}{os.pathsep}{nowhere}", "OLLAMA_NOPRUNE": "1"},
    )
    yield running
    assert running.stop() == 0


def findings(daemon: Daemon) -> list[dict[str, Any]]:
    answer = daemon.http.get("/api/verify")
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


def test_care_of_the_store(reader: Daemon, other: Path) -> None:
    """Run from there, refused to be deleted there, copied, damaged here, found out, mended, deleted, pruned."""
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    http, own = reader.http, reader.home / ".ollama" / "models"
    assert sum("is left out" in line for line in reader.log) == 1
    assert [row["name"] for row in http.get("/api/tags").json()["models"]] == [NAME]
    ask = {"model": "TinyChat", "prompt": "hello", "stream": False, "options": {"num_predict": 2}}
    assert http.post("/api/generate", json=ask).json()["done"]
    assert http.request("DELETE", "/api/delete", json={"model": NAME}).status_code == 403

    assert http.post("/api/copy", json={"source": NAME, "destination": "mine"}).status_code == 200
    assert {line.get("status") for line in findings(reader)} == {"ok", "success"}
    weights = max((own / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    last = findings(reader)[-1]
    assert (last["status"], last["damaged"], last["models"]) == ("damaged", 1, ["mine:latest"])
    assert http.post("/api/pull", json={"model": NAME, "stream": False}).json() == {"status": "success"}
    assert weights.read_bytes() == content
    assert findings(reader)[-1]["status"] == "success"

    for name in ("mine", NAME):
        assert http.request("DELETE", "/api/delete", json={"model": name}).status_code == 200
    junk = own / "blobs" / f"sha256-{'a' * 64}"
    junk.write_bytes(b"junk")
    os.utime(junk, (1000, 1000))
    trial, real = (http.post("/api/prune", json={"dry_run": dry}).json() for dry in (True, False))
    assert trial["removed"] == real["removed"] == [{"digest": f"sha256:{'a' * 64}", "size": 4}]
    assert not junk.exists()
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before
