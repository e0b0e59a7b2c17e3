"""Requests, streams, uploads, and what their failures say."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli import transport
from server.cli.errors import ServerDown, ServerError, SignInNeeded, TransportFailed
from server.cli.transport import Client, last, lines, user_agent
from server.host import parse_host
from tests.unit.server.cli.daemon import Answer, Daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with closing(Client(parse_host(daemon.address))) as made:
        yield made


def test_a_call_sends_and_reads_json(client: Client, daemon: Daemon) -> None:
    daemon.says("/api/show", {"a": 1})
    assert client.call("POST", "/api/show", {"model": "zoë"}) == {"a": 1}
    request = daemon.requests[0]
    assert request.json == {"model": "zoë"}
    assert request.headers["Content-Type"] == request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == user_agent()


def test_an_answer_without_a_body_is_empty(client: Client, daemon: Daemon) -> None:
    daemon.says("/api/copy", b"")
    assert client.call("POST", "/api/copy", {}) == {}


def test_bytes_that_are_no_text_reach_the_daemon(client: Client, daemon: Daemon) -> None:
    daemon.says("/api/show", {})
    client.call("POST", "/api/show", {"model": "\udcff"})
    assert daemon.requests[0].body == b'{"model":"\\udcff"}'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "model 'x' not found"}, "model 'x' not found"),
        (b"<h1>no</h1>\n", "<h1>no</h1>"),
        (b"", "something went wrong, please see the ollama server logs for details"),
        ({}, "something went wrong, please see the ollama server logs for details"),
    ],
)
def test_an_error_of_a_call_is_its_message_alone(client: Client, daemon: Daemon, body: object, text: str) -> None:
    daemon.says("/api/show", body, status=404)
    with pytest.raises(ServerError) as caught:
        client.call("POST", "/api/show", {})
    assert (str(caught.value), caught.value.status) == (text, 404)


@pytest.mark.parametrize(
    ("status", "reason", "body", "text"),
    [
        (500, None, {"error": "unable to load model"}, "500 Internal Server Error: unable to load model"),
        (400, "", {"error": "invalid model name"}, "400 Bad Request: invalid model name"),
        (418, "Short And Stout", b"tea", "418 Short And Stout: tea"),
        (503, None, b"", "503 Service Unavailable"),
        (401, None, {"error": "unauthorized", "signin_url": "https://x/y"}, "401 Unauthorized"),
    ],
)
def test_an_error_of_a_stream_begins_with_the_status_line(
    client: Client, daemon: Daemon, status: int, reason: str | None, body: object, text: str
) -> None:
    daemon.says("/api/pull", body, status=status, reason=reason)
    with pytest.raises(ServerError) as caught:
        last(client.stream("/api/pull", {}))
    assert str(caught.value) == text


def test_an_error_inside_a_stream_comes_after_what_was_before_it(client: Client, daemon: Daemon) -> None:
    daemon.streams("/api/pull", {"status": "one"}, {"error": "file does not exist"}, {"status": "never"})
    events = client.stream("/api/pull", {})
    assert next(events) == {"status": "one"}
    with pytest.raises(ServerError, match=r"^file does not exist$"):
        next(events)


def test_a_stream_of_something_else_is_its_own_error(client: Client, daemon: Daemon) -> None:
    daemon.says("/api/pull", b"<html>\n")
    with pytest.raises(ServerError, match=r"^<html>$"):
        last(client.stream("/api/pull", {}))


def test_signing_in_is_told_with_its_address(client: Client, daemon: Daemon) -> None:
    daemon.says("/api/show", {"error": "unauthorized", "signin_url": "https://x/y"}, status=401)
    with pytest.raises(SignInNeeded) as caught:
        client.call("POST", "/api/show", {})
    assert caught.value.url == "https://x/y"


def test_an_answer_that_is_no_object_is_refused(client: Client, daemon: Daemon) -> None:
    daemon.says("/api/tags", b"[1]", method="GET")
    with pytest.raises(TransportFailed, match="unexpected answer"):
        client.call("GET", "/api/tags")


def test_a_closed_port_is_nobody_there() -> None:
    with closing(Client(parse_host("127.0.0.1:1"), "llamad")) as client, pytest.raises(ServerDown) as caught:
        client.preflight()
    assert str(caught.value) == "could not connect to ollama server, run 'llamad serve' to start it"


def test_an_unknown_host_is_named() -> None:
    with closing(Client(parse_host("http://name.invalid"))) as client, pytest.raises(TransportFailed) as caught:
        client.preflight()
    assert str(caught.value).startswith('Head "http://name.invalid:80/": ')


def test_a_path_prefix_stands_before_every_path(daemon: Daemon) -> None:
    daemon.says("/ollama/api/version", {"version": "1"}, method="GET")
    with closing(Client(parse_host(f"http://{daemon.address}/ollama"))) as client:
        assert client.call("GET", "/api/version") == {"version": "1"}


def test_an_upload_sends_the_file_and_tells_how_much(client: Client, daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"x" * 3_000_000)
    daemon.decides("/api/blobs/sha256:1", lambda request: Answer(201))
    counts: list[int] = []
    client.upload("sha256:1", file, counts.append)
    asked, sent = daemon.requests
    assert asked.method == "HEAD"
    assert sent.body == file.read_bytes()
    assert sent.headers["Content-Length"] == "3000000"
    assert sum(counts) == 3_000_000


def test_a_large_file_that_is_there_is_not_sent(client: Client, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 3_000_000)
    daemon.says("/api/blobs/sha256:1", b"", method="HEAD")
    counts: list[int] = []
    client.upload("sha256:1", tmp_path / "x", counts.append)
    assert [request.method for request in daemon.requests] == ["HEAD"]
    assert sum(counts) == 3_000_000


def test_a_small_file_is_sent_without_asking(client: Client, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    daemon.says("/api/blobs/sha256:1", b"", status=201)
    client.upload("sha256:1", tmp_path / "x", lambda count: None)
    assert [request.method for request in daemon.requests] == ["POST"]


@pytest.mark.parametrize("taken", [True, False])
def test_a_daemon_on_this_machine_is_handed_the_file(
    client: Client, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """If it does not take it, it is uploaded."""
    (tmp_path / "x").write_bytes(b"x" * 3_000_000)
    header = "unix:@llamad-" + "0" * 32
    daemon.replies["HEAD", "/api/blobs/sha256:1"] = Answer(404, headers={"Llamad-Handover": header})
    daemon.says("/api/blobs/sha256:1", b"", status=201)
    calls: list[tuple[str, str]] = []

    def hand_over(address: str, digest: str, fd: int, sent: Callable[[int], None]) -> bool:
        calls.append((address, digest))
        return taken

    monkeypatch.setattr(transport, "hand_over", hand_over)
    client.upload("sha256:1", tmp_path / "x", lambda count: None)
    assert calls == [("\0llamad-" + "0" * 32, "sha256:1")]
    assert [request.method for request in daemon.requests] == ["HEAD", *([] if taken else ["POST"])]


def test_a_refused_upload_is_an_error(client: Client, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    daemon.says("/api/blobs/sha256:1", {"error": "digest mismatch"}, status=400)
    with pytest.raises(ServerError, match=r"^digest mismatch$"):
        client.upload("sha256:1", tmp_path / "x", lambda count: None)


@given(st.lists(st.text(max_size=20), max_size=10), st.integers(1, 7))
def test_lines_are_cut_at_line_feeds_only_however_the_bytes_arrive(texts: list[str], size: int) -> None:
    stream = b"".join(json.dumps(text, ensure_ascii=False).encode() + b"\n" for text in texts)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [json.loads(line) for line in lines(chunks)] == texts


def test_a_last_line_without_an_end_counts() -> None:
    assert list(lines([b"a\r\n\n", b"b"])) == [b"a", b"b"]
