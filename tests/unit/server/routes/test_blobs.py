"""Uploads: verified, written piece by piece, and gone when the client goes."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from server.app import create_app
from server.services import Services

pytestmark = pytest.mark.anyio

ZERO = "sha256:" + "0" * 64


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def stored(services: Services) -> list[Path]:
    return list(services.store.layout.blobs.iterdir())


async def test_stores_what_has_the_hash_it_is_said_to_have(http: httpx.AsyncClient, services: Services) -> None:
    path = f"/api/blobs/{digest_of(b'one')}"
    assert (await http.head(path)).status_code == 404
    first = await http.post(path, content=b"one")
    assert (first.status_code, first.content) == (201, b"")
    again = await http.post(path, content=b"other bytes, which nobody reads")
    assert (again.status_code, again.content) == (200, b"")
    there = await http.head(path)
    assert there.status_code == 200
    assert "content-length" not in there.headers
    assert [file.read_bytes() for file in stored(services)] == [b"one"]


async def test_a_large_body_is_taken_in_pieces(http: httpx.AsyncClient) -> None:
    data = b"0123456789abcdef" * 200_000

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 300_000):
            yield data[at : at + 300_000]

    assert (await http.post(f"/api/blobs/{digest_of(data)}", content=pieces())).status_code == 201


async def test_other_content_is_refused_and_leaves_nothing(http: httpx.AsyncClient, services: Services) -> None:
    answer = await http.post(f"/api/blobs/{ZERO}", content=b"other")
    assert answer.status_code == 400
    assert answer.json() == {"error": f'digest mismatch, expected "{ZERO}", got "{digest_of(b"other")}"'}
    assert stored(services) == []


@pytest.mark.parametrize("written", ["sha256:" + digest_of(b"one")[7:].upper(), "sha256-" + digest_of(b"one")[7:]])
async def test_the_digest_counts_only_in_its_usual_form(
    http: httpx.AsyncClient, services: Services, written: str
) -> None:
    answer = await http.post(f"/api/blobs/{written}", content=b"one")
    assert answer.status_code == 400
    assert answer.json() == {"error": f'digest mismatch, expected "{written}", got "{digest_of(b"one")}"'}
    assert stored(services) == []


@pytest.mark.parametrize("text", ["sha256:abc", "0" * 64, "sha512:" + "0" * 64, "abc", "sha256:" + "g" * 64, "%20"])
async def test_what_is_no_digest_is_refused(http: httpx.AsyncClient, text: str) -> None:
    answer = await http.post(f"/api/blobs/{text}", content=b"x")
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid digest format"})
    assert (await http.head(f"/api/blobs/{text}")).status_code == 400


async def test_a_client_that_hangs_up_leaves_nothing(services: Services) -> None:
    """The connection is lost after the first piece of the body."""
    app = create_app(services)
    incoming: list[Message] = [
        {"type": "http.request", "body": b"x" * 2_000_000, "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(ZERO), receive, send)
    assert sent == []
    assert stored(services) == []


def _scope(digest: str) -> dict[str, object]:
    path = f"/api/blobs/{digest}"
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "root_path": "",
    }
