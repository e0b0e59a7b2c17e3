"""Creating models through a real daemon: the examples, the order of what is said, and requests that break off."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import MODELS, ROOT, Daemon
from tests.unit.modelstore import examples

OPTIONS = {"num_predict": 4, "temperature": 0, "num_thread": 1}
PICTURE = MODELS / "media" / "gemma3.png"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    running = Daemon(tmp_path_factory.mktemp("home"), {"LLAMAD_SPARE_RUNNER": "0", "OLLAMA_CONTEXT_LENGTH": "512"})
    running.add("bare", "bare.gguf")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return examples.lay_out(tmp_path_factory.mktemp("checkout"))


def command(daemon: Daemon, *words: str) -> str:
    """What our command line prints."""
    environment = {**os.environ, "OLLAMA_HOST": daemon.base, "HOME": str(daemon.home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "server", *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def create(daemon: Daemon, **body: Any) -> list[dict[str, Any]]:
    """The events of a request."""
    answer = daemon.http.post("/api/create", json={"model": "m", **body})
    return [json.loads(line) for line in answer.text.splitlines()]


def statuses(daemon: Daemon, **body: Any) -> list[str]:
    return [event.get("status", "error: " + event.get("error", "")) for event in create(daemon, **body)]


def shown(daemon: Daemon, name: str) -> dict[str, Any]:
    answer = daemon.http.post("/api/show", json={"model": name})
    assert answer.status_code == 200, answer.text
    return answer.json()


def upload(daemon: Daemon, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert daemon.http.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
    return digest


def stored(daemon: Daemon) -> set[str]:
    """Every blob and every manifest, unfinished ones too."""
    root = daemon.home / ".ollama" / "models"
    return {name for part in ("blobs", "manifests") for _, _, names in os.walk(root / part) for name in names}


# -- the examples -----------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("name", examples.NAMES)
def test_an_example_is_built_by_the_command_line_and_used_once(daemon: Daemon, folder: Path, name: str) -> None:
    model = f"example-{name}"
    command(daemon, "create", model, "-f", str(folder / f"{name}.Modelfile"))
    use(daemon, name, model)
    printed = folder / f"{name}.printed"
    printed.write_text(command(daemon, "show", "--modelfile", model))
    command(daemon, "create", "again", "-f", str(printed))
    first, second = shown(daemon, model), shown(daemon, "again")
    assert second.get("parameters") == first.get("parameters")
    assert (second["template"], second["capabilities"]) == (first["template"], first["capabilities"])
    assert second.get("messages") == first.get("messages")


def use(daemon: Daemon, name: str, model: str) -> None:
    body: dict[str, Any] = {"model": model, "stream": False, "keep_alive": 0, "options": OPTIONS}
    if name == "embedding":
        answer = daemon.http.post("/api/embed", json={**body, "input": "one two"})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["embeddings"][0]) > 8
        return
    message: dict[str, Any] = {"role": "user", "content": "Hello!"}
    if name == "vision":
        message["images"] = [base64.b64encode(PICTURE.read_bytes()).decode()]
    answer = daemon.http.post("/api/chat", json={**body, "messages": [message]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["message"]["content"] or answer.json()["message"].get("thinking")


# -- what is said, in which order -------------------------------------------------------------------------------------


def test_the_steps_of_a_model_from_several_files(daemon: Daemon) -> None:
    def file(name: str) -> dict[str, str]:
        return {name: upload(daemon, (MODELS / name).read_bytes())}

    events = statuses(
        daemon,
        files={**file("tinyvision-q8_0.gguf"), **file("tinyvision-mmproj-f16.gguf"), "README.md": upload(daemon, b"x")},
        draft_files=file("tinydraft-f16.gguf"),
        adapters=file("tinylora-f16.gguf"),
        template="{{ .System }} {{ .Prompt }}",
        system="Be brief.",
        license=["One", "Two"],
        parameters={"top_k": 3},
        messages=[{"role": "USER", "content": "Hi"}],
        renderer="",
    )
    assert [event.partition(" sha256")[0] for event in events] == [
        *["parsing GGUF"] * 4,
        "verifying conversion",
        *["using existing layer"] * 4,
        *["creating new layer"] * 6,
        "writing manifest",
        "success",
    ]
    model = shown(daemon, "m")
    assert model["messages"] == [{"role": "user", "content": "Hi"}]
    assert model["license"] == "One\nTwo"
    assert model["capabilities"][-2:] == ["completion", "vision"]
    kinds = [line.partition(" ")[0] for line in model["modelfile"].splitlines() if line and line[0] != "#"]
    assert kinds == [
        "FROM",
        "ADAPTER",
        "DRAFT",
        "FROM",
        "TEMPLATE",
        "SYSTEM",
        "PARAMETER",
        "LICENSE",
        "LICENSE",
        "MESSAGE",
    ]


def test_an_unstreamed_request_is_answered_with_its_end(daemon: Daemon) -> None:
    body = {"model": "m", "from": "bare", "stream": False}
    answer = daemon.http.post("/api/create", json=body)
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    text = upload(daemon, b"no model")
    answer = daemon.http.post("/api/create", json={"model": "m", "files": {"x.gguf": text}, "stream": False})
    assert (answer.status_code, answer.json()) == (400, {"error": "supplied file was not in GGUF format"})
    assert create(daemon, files={"x.gguf": text}) == [
        {"status": "parsing GGUF"},
        {"error": "supplied file was not in GGUF format"},
    ]


def test_a_base_that_is_nowhere_is_an_error_before_or_in_the_stream(daemon: Daemon) -> None:
    assert create(daemon, **{"from": "nowhere"}) == [
        {"status": "pulling manifest"},
        {"error": "pull model manifest: file does not exist"},
    ]
    answer = daemon.http.post("/api/create", json={"model": "m", "from": "nowhere", "stream": False})
    assert answer.status_code == 500
    answer = daemon.http.post("/api/create", json={"model": "m", "from": "a b", "stream": False})
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid model name"})


def test_safetensors_are_refused_clearly_for_now(daemon: Daemon) -> None:
    digest = upload(daemon, b"\xff" * 8 + b"{")
    answer = daemon.http.post("/api/create", json={"model": "m", "files": {"model.safetensors": digest}})
    assert answer.status_code == 501
    assert answer.json() == {"error": "converting safetensors is not available in this version"}


def test_a_failing_request_leaves_the_model_of_that_name_as_it_was(daemon: Daemon) -> None:
    create(daemon, **{"from": "bare", "system": "The first."})
    before = shown(daemon, "m")
    assert create(daemon, **{"from": "bare", "system": "x", "template": "{{ .Prompt"}) == [
        {"error": "template error: template: :1: unclosed action"}
    ]
    assert create(daemon, **{"from": "bare", "system": "x", "adapters": {"l.gguf": upload(daemon, b"none")}})[-1] == {
        "error": "supplied file was not in GGUF format"
    }
    assert shown(daemon, "m") == before


# -- breaking off -----------------------------------------------------------------------------------------------------


def hang_up_after(daemon: Daemon, events: int, body: bytes) -> int:
    """Send a request, read so many lines of its answer, and close the connection; the lines that came."""
    host, _, port = daemon.address.partition(":")
    head = f"POST /api/create HTTP/1.1\r\nHost: {daemon.address}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head + body)
        received = b""
        while received.count(b'"status"') < events:
            received += connection.recv(1024)
    return received.count(b'"status"')


def becomes(daemon: Daemon, wanted: set[str]) -> bool:
    """Whether the store comes to this and stays so; each look costs the daemon a request."""
    alike = 0
    for _ in range(5_000):
        alike = alike + 1 if stored(daemon) == wanted else 0
        if alike == 200:
            return True
        assert daemon.http.get("/api/tags").status_code == 200
    return False


@pytest.mark.parametrize("events", [0, 1, 50, 500])
def test_a_client_that_hangs_up_between_events_leaves_nothing(daemon: Daemon, events: int) -> None:
    """Nine thousand layers take a while; what was written of them is gone soon after nobody waits any more."""
    create(daemon, **{"from": "bare"})
    daemon.http.request("DELETE", "/api/delete", json={"model": "m"})
    before = stored(daemon)
    texts = [f"{events} {number}" for number in range(9_000)]
    seen = hang_up_after(daemon, events, json.dumps({"model": "left", "from": "bare", "license": texts}).encode())
    assert seen < 9_000
    assert becomes(daemon, before)
    assert daemon.http.post("/api/show", json={"model": "left"}).status_code == 404
