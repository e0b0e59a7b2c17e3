"""What a daemon is sent by mistake or malice: a clear answer, and afterwards all is as before."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import MODELS, Daemon

BARE = (MODELS / "bare.gguf").read_bytes()


@pytest.fixture(scope="module")
def seeded(daemon: Daemon) -> Daemon:
    daemon.add("bare", "bare.gguf")
    return daemon


def files_of(daemon: Daemon) -> set[str]:
    root = daemon.home / ".ollama" / "models"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def upload(daemon: Daemon, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert daemon.http.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
    return digest


def with_tensor_count(count: int) -> bytes:
    return BARE[:8] + struct.pack("<Q", count) + BARE[16:]


LYING = {
    "empty": b"",
    "text": b"hello, I am a model",
    "only the magic": b"GGUF",
    "cut in the header": BARE[:300],
    "cut in the weights": BARE[:-1000],
    "more tensors than bytes": with_tensor_count(1 << 60),
    "another version": BARE[:4] + struct.pack("<I", 77) + BARE[8:],
    "a key as long as the world": BARE[:24] + struct.pack("<Q", 1 << 62) + BARE[32:],
}


@pytest.mark.parametrize("kind", LYING)
def test_a_file_that_is_no_model_creates_nothing(seeded: Daemon, kind: str) -> None:
    digest = upload(seeded, LYING[kind])
    before = files_of(seeded)
    answer = seeded.http.post("/api/create", json={"model": "bad", "files": {"bad.gguf": digest}, "stream": False})
    assert answer.status_code in (400, 500), kind
    assert answer.json()["error"], kind
    assert str(seeded.home) not in answer.text, "no path of the server"
    assert files_of(seeded) == before, "no manifest, no partial blob"
    assert seeded.http.post("/api/show", json={"model": "bad"}).status_code == 404


def test_an_existing_model_survives_a_failed_create_of_its_name(seeded: Daemon) -> None:
    shown = seeded.http.post("/api/show", json={"model": "bare"}).json()
    digest = upload(seeded, LYING["cut in the weights"])
    body = {"model": "bare", "files": {"bad.gguf": digest}, "stream": False}
    assert seeded.http.post("/api/create", json=body).status_code >= 400
    assert seeded.http.post("/api/show", json={"model": "bare"}).json() == shown


def test_an_upload_under_a_wrong_digest_leaves_nothing(seeded: Daemon) -> None:
    before = files_of(seeded)
    answer = seeded.http.post(f"/api/blobs/sha256:{'0' * 64}", content=b"something else")
    assert answer.status_code == 400
    assert "digest mismatch" in answer.json()["error"]
    assert files_of(seeded) == before


BAD_REQUESTS: list[tuple[str, str, Any, int, str]] = [
    ("/api/chat", "unknown model", {"model": "nope", "messages": []}, 404, "model 'nope' not found"),
    ("/api/generate", "no model", {"prompt": "x"}, 404, "model '' not found"),
    ("/api/generate", "a name that is none", {"model": "a b", "prompt": "x"}, 400, "invalid model name"),
    ("/api/generate", "no body", b"", 400, "missing request body"),
    ("/api/generate", "half a body", b'{"model":', 400, "unexpected EOF"),
    ("/api/chat", "not JSON", b"hello", 400, "invalid character 'h' looking for beginning of value"),
    (
        "/api/generate",
        "a number for a text",
        {"model": "bare", "prompt": 5},
        400,
        "json: cannot unmarshal number into Go struct field GenerateRequest.prompt of type string",
    ),
    (
        "/api/generate",
        "a wrong type of option",
        {"model": "bare", "prompt": "x", "options": {"temperature": "hot"}},
        500,
        'option "temperature" must be of type float32',
    ),
    ("/api/embed", "no text", {"model": "bare", "input": 5}, 400, "invalid input type"),
]


@pytest.mark.parametrize(("path", "kind", "body", "status", "text"), BAD_REQUESTS)
def test_a_bad_request_is_told_what_is_wrong(
    seeded: Daemon, path: str, kind: str, body: Any, status: int, text: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = seeded.http.post(path, content=content)
    assert (answer.status_code, answer.json()) == (status, {"error": text}), kind


def test_an_unknown_option_is_logged_and_ignored(seeded: Daemon) -> None:
    body = {"model": "bare", "prompt": "x", "raw": True, "stream": False, "options": {"num_predict": 1, "warp": 9}}
    assert seeded.http.post("/api/generate", json=body).status_code == 200
    assert any("warp" in line for line in seeded.log)


def test_a_model_whose_weights_are_gone_is_an_error_not_a_crash(seeded: Daemon) -> None:
    seeded.add("broken", "tinyembed-random-f16.gguf")
    digest = hashlib.sha256((MODELS / "tinyembed-random-f16.gguf").read_bytes()).hexdigest()
    blob: Path = seeded.home / ".ollama" / "models" / "blobs" / f"sha256-{digest}"
    blob.write_bytes(b"GGUF" + b"\0" * 400)
    answer = seeded.http.post("/api/embed", json={"model": "broken", "input": "x"})
    assert answer.status_code >= 400
    assert answer.json()["error"]
    assert seeded.http.get("/api/version").status_code == 200
    blob.unlink()
    answer = seeded.http.post("/api/embed", json={"model": "broken", "input": "x"})
    assert answer.status_code == 404
    assert answer.json() == {"error": 'model "broken" not found, try pulling it first'}
