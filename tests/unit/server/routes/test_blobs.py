"""Uploads: verified, written piece by piece, and gone when the client goes."""

import asyncio
import errno
import hashlib
import os
import re
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


async def post(services: Services, digest: str, *incoming: Message, length: str = "") -> tuple[int, bytes]:
    """Status and body of the answer to exactly these messages; (0, b"") if there is none."""
    left = list(incoming)
    sent: list[Message] = []

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await create_app(services)(_scope(digest, length), receive, send)
    assert left == []
    return (sent[0]["status"], b"".join(message.get("body", b"") for message in sent)) if sent else (0, b"")


def piece(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_a_client_that_hangs_up_leaves_nothing(services: Services) -> None:
    """The connection is lost after the first piece of the body."""
    assert await post(services, ZERO, piece(b"x" * 2_000_000, more=True), {"type": "http.disconnect"}) == (0, b"")
    assert stored(services) == []


async def test_all_but_the_end_of_the_body_is_nothing(services: Services) -> None:
    """Even when what came has the digest: the client said that there is more."""
    hung_up = await post(services, digest_of(b"one"), piece(b"one", more=True), {"type": "http.disconnect"}, length="4")
    assert hung_up == (0, b"")
    ended = await post(services, digest_of(b"one"), piece(b"one"), length="4")
    assert ended == (400, b'{"error":"unexpected EOF"}')
    assert stored(services) == []


@pytest.mark.parametrize("length", ["", "9" * 5000, "²", "+3", "-1", "0x3"])
async def test_a_length_that_is_none_does_not_count(services: Services, length: str) -> None:
    """A server in front refuses it, or the body has an end of its own."""
    assert await post(services, digest_of(b"one"), piece(b"one"), length=length) == (201, b"")


async def test_what_cannot_fit_is_refused_before_it_is_read(services: Services) -> None:
    """Not one message is taken."""
    status, body = await post(services, ZERO, length=str(1 << 58))
    assert status == 500
    assert re.fullmatch(rb'{"error":"insufficient disk space: need %d bytes, have \d+"}' % (1 << 58), body)
    assert stored(services) == []


async def test_a_disk_that_fills_up_is_said_and_the_room_is_given_back(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert await post(services, digest_of(b"one"), piece(b"one")) == (500, b'{"error":"insufficient disk space"}')
    assert stored(services) == []


async def test_two_uploads_of_one_blob_at_the_same_time(services: Services) -> None:
    """Each has a file of its own until one of them is first; both are told that it is there."""
    begun = [asyncio.Event(), asyncio.Event()]

    async def upload(own: asyncio.Event, other: asyncio.Event) -> int:
        messages = [piece(b"o", more=True), piece(b"ne")]

        async def receive() -> Message:
            if len(messages) == 1:
                own.set()
                await other.wait()
            return messages.pop(0)

        statuses: list[int] = []

        async def send(message: Message) -> None:
            statuses.append(message.get("status", 0))

        await create_app(services)(_scope(digest_of(b"one"), "3"), receive, send)
        return statuses[0]

    assert await asyncio.gather(upload(*begun), upload(*reversed(begun))) == [201, 201]
    assert [file.read_bytes() for file in stored(services)] == [b"one"]


async def test_an_upload_of_what_something_else_stores_meanwhile(services: Services) -> None:
    """A create or a pull was faster: its file stays."""
    messages = [piece(b"o", more=True), piece(b"ne")]
    inodes: list[int] = []

    async def receive() -> Message:
        if len(messages) == 1:
            inodes.append(services.store.blobs.path(services.store.blobs.put(b"one")).stat().st_ino)
        return messages.pop(0)

    statuses: list[int] = []

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 0))

    await create_app(services)(_scope(digest_of(b"one"), "3"), receive, send)
    assert statuses[0] == 201
    assert [file.stat().st_ino for file in stored(services)] == inodes


def _scope(digest: str, length: str = "") -> dict[str, object]:
    path = f"/api/blobs/{digest}"
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *([(b"content-length", length.encode("latin-1"))] if length else [])],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "root_path": "",
    }
