"""Checking and tidying up over HTTP."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelstore.digest import Digest
from modelstore.manifest import SYSTEM_TYPE, Layer, Manifest
from modelstore.names import Name
from modelstore.store import Store
from server.app import create_app
from server.services import Services
from tests.unit.server.fakes import Caller, install

pytestmark = pytest.mark.anyio


def add(store: Store, name: str, content: bytes) -> Digest:
    digest = store.blobs.put(content)
    store.catalog.write(Name.parse(name), Manifest((Layer(SYSTEM_TYPE, digest, len(content)),)))
    return digest


def old(store: Store, content: bytes) -> Digest:
    """A blob that nobody needs and nobody touched for long."""
    digest = store.blobs.put(content)
    os.utime(store.blobs.path(digest), (1000, 1000))
    return digest


async def lines(http: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await http.get("/api/verify", params=query)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_an_empty_store_is_sound(http: httpx.AsyncClient) -> None:
    assert await lines(http) == [{"status": "success", "blobs": 0, "damaged": 0, "unused": 0}]


async def test_a_line_a_blob(http: httpx.AsyncClient, services: Services) -> None:
    good, bad = add(services.store, "a", b"good"), add(services.store, "b", b"bad")
    services.store.layout.blob(bad).write_bytes(b"worse")
    assert await lines(http) == [
        {"status": "ok", "digest": str(good), "size": 4, "models": ["a:latest"]},
        {"status": "corrupt", "digest": str(bad), "size": 5, "models": ["b:latest"], "found": str(Digest.of(b"worse"))},
        {"status": "damaged", "size": 9, "models": ["b:latest"], "blobs": 2, "damaged": 1, "unused": 0},
    ]


async def test_one_model_in_any_case(http: httpx.AsyncClient, services: Services) -> None:
    add(services.store, "a", b"a")
    add(services.store, "B", b"b")
    assert [line.get("models") for line in await lines(http, model=" b ")] == [["B:latest"], None]


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [("nope", 404, "model 'nope:latest' not found"), ("a b", 400, "invalid model name")],
)
async def test_no_such_model(http: httpx.AsyncClient, name: str, status: int, message: str) -> None:
    answer = await http.get("/api/verify", params={"model": name})
    assert (answer.status_code, answer.json()) == (status, {"error": message})


async def test_the_end_of_a_client_is_the_end_of_the_work(services: Services) -> None:
    """Nothing of it runs on."""
    install(services.store, "m")
    caller = Caller(create_app(services), "/api/verify")
    caller.method = "GET"
    caller.gone.set()
    await caller.start()
    assert not services.jobs._running  # pyright: ignore[reportPrivateUsage]  (there is no other way to see it)


async def test_damaged_blobs_are_asked_for_again(http: httpx.AsyncClient, services: Services) -> None:
    """A client that looks whether it has to upload is told to, and its file takes the place of the damaged one."""
    digest = add(services.store, "a", b"good")
    services.store.layout.blob(digest).write_bytes(b"baad")
    assert (await http.head(f"/api/blobs/{digest}")).status_code == 200
    await lines(http)
    assert (await http.head(f"/api/blobs/{digest}")).status_code == 404
    assert (await http.post(f"/api/blobs/{digest}", content=b"good")).status_code == 201
    assert (await lines(http))[-1]["status"] == "success"


async def test_prunes(http: httpx.AsyncClient, services: Services) -> None:
    """Also where start-up does not; a trial first."""
    services.store.prune = False
    digest = old(services.store, b"old")
    add(services.store, "a", b"good")
    young = services.store.blobs.put(b"young")
    removed = [{"digest": str(digest), "size": 3}]
    answer = await http.post("/api/prune", json={"dry_run": True})
    assert answer.json() == {"removed": removed, "freed": 3, "dry_run": True}
    answer = await http.post("/api/prune")
    assert answer.json() == {"removed": removed, "freed": 3, "dry_run": False}
    answer = await http.post("/api/prune", json={})
    assert answer.content == b'{"removed":[],"freed":0,"dry_run":false}'
    assert services.store.blobs.has(young)


async def test_files_are_named(http: httpx.AsyncClient, services: Services) -> None:
    path = services.store.layout.partials / "junk"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12")
    os.utime(path, (1000, 1000))
    answer = await http.post("/api/prune")
    assert answer.json()["removed"] == [{"file": ".llamad/partials/junk", "size": 2}]


async def test_prune_refuses(http: httpx.AsyncClient, services: Services) -> None:
    """While a manifest cannot be read, and for a body that is wrong."""
    path = services.store.layout.manifest(Name.parse("bad"))
    path.parent.mkdir(parents=True)
    path.write_text("{")
    kept = old(services.store, b"old")
    answer = await http.post("/api/prune", json={"dry_run": False})
    assert answer.status_code == 409
    assert answer.json()["error"].startswith("corrupt manifests detected, skipping prune operation.")
    assert services.store.blobs.has(kept)
    assert (await http.post("/api/prune", json={"dry_run": 1})).status_code == 400


async def test_models_of_others(http: httpx.AsyncClient, services: Services, tmp_path: Path) -> None:
    """Copied, not deleted; HEAD finds their blobs."""
    install(Store.open(tmp_path / "other"), "theirs", system="x")
    services.store.__init__(services.store.layout.root, extras=[tmp_path / "other"])
    assert [row["name"] for row in (await http.get("/api/tags")).json()["models"]] == ["theirs:latest"]
    answer = await http.request("DELETE", "/api/delete", json={"model": "theirs"})
    assert answer.status_code == 403
    assert "read-only store (OLLAMA_MODELS_EXTRA)" in answer.json()["error"]
    digest = Digest.of(b"x")
    assert (await http.head(f"/api/blobs/{digest}")).status_code == 200
    assert (await http.post("/api/show", json={"model": "theirs"})).json()["system"] == "x"
    answer = await http.post("/api/copy", json={"source": "THEIRS", "destination": "mine"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert services.store.layout.blob(digest).exists()
    assert (await http.request("DELETE", "/api/delete", json={"model": "mine"})).status_code == 200
