"""The protocol on real sockets, and clients that leave it in the middle."""

import gzip
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.integration.daemon import Daemon
from tests.integration.hangups import LONG, Caller

WIDTH = 2
MAX_BODY = 1 << 20
OPTIONS = {"temperature": 0, "num_predict": 3}
SHORT = {"model": "tiny", "prompt": "Once upon", "raw": True, "stream": False, "options": OPTIONS}
TALK = {"model": "tiny", "prompt": "Once upon a time", "raw": True, "format": LONG}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    settings = {
        "OLLAMA_NUM_PARALLEL": str(WIDTH),
        "LLAMAD_SPARE_RUNNER": "0",
        "LLAMAD_MAX_BODY": str(MAX_BODY),
        "LLAMAD_DRAIN_TIMEOUT": "1s",
    }
    running = Daemon(tmp_path_factory.mktemp("home"), settings)
    running.add("tiny", "tinychat-f16.gguf")
    yield running
    assert running.stop() == 0


class Line:
    """A bare connection."""

    def __init__(self, daemon: Daemon) -> None:
        host, _, port = daemon.address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self, end: bytes) -> bytes:
        """Up to and with `end`; all there is if the server closes."""
        heard = b""
        while not heard.endswith(end) and (data := self.socket.recv(1)):
            heard += data
        return heard

    def hear_all(self) -> bytes:
        """Until the server closes."""
        heard = b""
        while data := self.socket.recv(1 << 16):
            heard += data
        return heard

    def answer(self) -> tuple[bytes, bytes]:
        """Status line and body of the next answer, whose length must be stated."""
        head = self.hear(b"\r\n\r\n").decode()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        length = int(fields.get("content-length", "0"))
        body = b""
        while len(body) < length:
            body += self.socket.recv(length - len(body))
        return head.partition("\r\n")[0].encode(), body


def post(path: str, body: bytes, *fields: str) -> bytes:
    head = "".join(f"{field}\r\n" for field in ("Host: localhost", *fields))
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"what?\r\n\r\n", bytes(100_000)])
def test_garbage_is_answered_and_the_log_stays_calm(daemon: Daemon, sent: bytes) -> None:
    before = len(daemon.log)
    with Line(daemon) as line:
        line.say(sent)
        assert line.hear_all() == (
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
            b"400 Bad Request"
        )
    assert daemon.http.get("/api/version").status_code == 200
    lines = daemon.log[before:]
    assert len(lines) <= 1
    assert all(line.startswith("time=") and "level=INFO" in line for line in lines)


def test_a_connection_serves_one_request_after_the_other(daemon: Daemon) -> None:
    """Sent one by one, all at once, or byte by byte; after errors, too."""
    ask = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    wrong = post("/api/show", b"{}", "Content-Length: 2")
    with Line(daemon) as line:
        line.say(ask)
        assert line.answer() == (b"HTTP/1.1 200 OK", b'{"version":"0.33.0"}')
        line.say(wrong + ask + b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.answer() == (b"HTTP/1.1 400 Bad Request", b'{"error":"model is required"}')
        assert line.answer()[0] == b"HTTP/1.1 200 OK"
        assert line.answer() == (b"HTTP/1.1 404 Not Found", b"404 page not found")
        for byte in wrong:
            line.say(bytes([byte]))
        assert line.answer() == (b"HTTP/1.1 400 Bad Request", b'{"error":"model is required"}')


def test_a_body_in_chunks_of_any_size_and_one_that_waits_to_be_asked_for(daemon: Daemon) -> None:
    body = json.dumps({"model": "nope"}).encode()
    with Line(daemon) as line:
        line.say(post("/api/show", b"", "Transfer-Encoding: chunked"))
        for byte in body:
            line.say(b"1\r\n%c\r\n" % byte)
        line.say(b"0\r\n\r\n")
        assert line.answer() == (b"HTTP/1.1 404 Not Found", b'{"error":"model \'nope:latest\' not found"}')
        line.say(post("/api/show", b"", "Expect: 100-continue", f"Content-Length: {len(body)}"))
        assert line.hear(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.say(body)
        assert line.answer()[0] == b"HTTP/1.1 404 Not Found"


@pytest.mark.parametrize(
    "fields", ["Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA", "A: b"]
)
def test_a_client_that_would_like_http_2_is_served(daemon: Daemon, fields: str) -> None:
    """As the one of the Java library asks, with a body."""
    body = json.dumps(SHORT).encode()
    with Line(daemon) as line:
        line.say(post("/api/generate", body, fields, f"Content-Length: {len(body)}"))
        assert line.answer()[0] == b"HTTP/1.1 200 OK"


def test_a_stream_for_http_1_0_ends_with_its_connection(daemon: Daemon) -> None:
    body = json.dumps({**SHORT, "stream": True}).encode()
    with Line(daemon) as line:
        line.say(b"POST /api/generate HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        head, _, lines = line.hear_all().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert json.loads(lines.splitlines()[-1])["done"]


def test_a_body_that_is_too_long_is_refused_and_not_kept(daemon: Daemon) -> None:
    """Whether its length is known or not; who sends all of it all the same can read the refusal."""
    refusal = (
        b"HTTP/1.1 413",
        b'{"error":"request body too large: more than 1048576 bytes (LLAMAD_MAX_BODY)"}',
    )
    process = psutil.Process(daemon.process.pid)
    before = process.memory_info().rss
    with Line(daemon) as line:
        line.say(post("/api/show", b"", f"Content-Length: {1 << 40}"))
        status, body = line.answer()
        assert (status[:12], body) == refusal
    with Line(daemon) as line:
        line.say(post("/api/show", b"", "Transfer-Encoding: chunked"))
        for _ in range(64):
            line.say(b"100000\r\n%s\r\n" % bytes(1 << 20))
        line.say(b"0\r\n\r\n")
        status, body = line.answer()
        assert (status[:12], body) == refusal
        line.say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.answer() == (b"HTTP/1.1 200 OK", b"Ollama is running")
    bomb = gzip.compress(bytes(64 << 20), 1)
    answer = daemon.http.post("/api/show", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.json() == {"error": "request body too large: more than 20971520 bytes once decompressed"}
    assert process.memory_info().rss - before < 48 << 20


def test_a_compressed_request_is_served(daemon: Daemon) -> None:
    import zstandard

    for encoding, compress in (("gzip", gzip.compress), ("zstd", zstandard.compress)):
        body = compress(json.dumps(SHORT).encode())
        answer = daemon.http.post("/api/generate", content=body, headers={"Content-Encoding": encoding})
        assert answer.json()["eval_count"] == 3


# -- clients that leave -------------------------------------------------------------------------------------------


def state(daemon: Daemon) -> dict[str, Any]:
    """All that hang-ups could leave behind, and what a request costs."""
    answer = daemon.http.post("/api/generate", json=SHORT).json()
    (row,) = daemon.http.get("/api/ps").json()["models"]
    blobs = daemon.home / ".ollama" / "models"
    return {
        "answer": {name: value for name, value in answer.items() if name in ("response", "context", "done_reason")},
        "tokens": (answer["prompt_eval_count"], answer["eval_count"]),
        "runner": daemon.runners(),
        "row": {name: value for name, value in row.items() if name != "expires_at"},
        "files": sorted(str(path) for path in blobs.rglob("*") if path.is_file()),
    }


def descriptors(daemon: Daemon) -> int:
    return psutil.Process(daemon.process.pid).num_fds()


class Upload(Caller):
    """Half of a file."""

    def __init__(self, daemon: Daemon) -> None:
        host, _, port = daemon.address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.sendall(post(f"/api/blobs/sha256:{'0' * 64}", bytes(1000), "Content-Length: 100000"))


def crowd(daemon: Daemon) -> Iterator[Caller]:
    """Twice as many as there are places, none of whom gets a whole answer."""
    long = "word " * 300
    yield Caller(daemon, {**TALK, "stream": False})
    yield Caller(daemon, TALK)
    yield Caller(daemon, {**TALK, "prompt": long, "stream": False})
    yield Caller(daemon, {"model": "tiny", "input": [long] * 8}, "/api/embed")
    yield Caller(
        daemon, {"model": "tiny", "stream": False, "messages": [{"role": "user", "content": long}]}, "/api/chat"
    )
    yield Caller(daemon, {"model": "tiny", "prompt": long}, "/api/embeddings")
    yield Caller(daemon, {"model": "nope", "from": "tiny", "quantize": "nonsense"}, "/api/create")
    yield Upload(daemon)


@pytest.mark.skipif(os.name == "nt", reason="counts descriptors")
def test_three_hundred_hang_ups_in_a_row_leave_the_model_as_it_was(daemon: Daemon) -> None:
    """Waiting for a place, reading a prompt, generating, embedding, sending a file; with streams and without; gently
    and rudely. The same process serves afterwards, with as many steps, and all its places."""
    before = state(daemon)
    opened = descriptors(daemon)
    for round in range(38):
        for number, caller in enumerate(list(crowd(daemon))):
            if number == 1 and round % 3 == 0:
                caller.hear(400)
            caller.hang_up(rudely=(round + number) % 2 == 0)
    assert state(daemon) == before
    talkers = [Caller(daemon, TALK) for _ in range(WIDTH)]
    assert [talker.hear(400)[:15] for talker in talkers] == [b"HTTP/1.1 200 OK"] * WIDTH
    for talker in talkers:
        talker.hang_up()
    assert state(daemon) == before
    assert descriptors(daemon) <= opened + 2
