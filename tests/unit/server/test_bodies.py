"""Bodies of requests: what is read, how much of it, and in which words it is refused."""

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
import zstandard

from server.app import create_app
from server.services import Services

pytestmark = pytest.mark.anyio

LIMIT = 1000
PATHS = [
    ("POST", "/api/generate"),
    ("POST", "/api/chat"),
    ("POST", "/api/embed"),
    ("POST", "/api/embeddings"),
    ("POST", "/api/show"),
    ("POST", "/api/create"),
    ("POST", "/api/copy"),
    ("DELETE", "/api/delete"),
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("POST", "/api/prune"),
    ("POST", "/api/experimental/web_search"),
    ("POST", "/api/experimental/web_fetch"),
]
TOO_LARGE = (413, {"error": "request body too large: more than 1000 bytes (LLAMAD_MAX_BODY)"})


@pytest.fixture
async def narrow(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a daemon that reads a thousand bytes."""
    small = replace(services, settings=replace(services.settings, max_body=LIMIT))
    transport = httpx.ASGITransport(create_app(small))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        yield client


def result(answer: httpx.Response) -> tuple[int, object]:
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return answer.status_code, answer.json()


def padded(size: int) -> bytes:
    text = json.dumps({"model": "nope"}).encode()
    return text + b" " * (size - len(text))


class Pieces:
    """A body of unknown length, and how much of it was taken."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._count):
            self.taken += 1
            yield b" " * 100


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_a_body_that_says_that_it_is_too_long_is_not_read(
    narrow: httpx.AsyncClient, method: str, path: str
) -> None:
    pieces = Pieces(11)
    answer = await narrow.request(method, path, content=pieces, headers={"Content-Length": "1100"})
    assert result(answer) == TOO_LARGE


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_a_body_that_becomes_too_long_is_not_read_to_its_end(
    narrow: httpx.AsyncClient, method: str, path: str
) -> None:
    pieces = Pieces(100)
    assert result(await narrow.request(method, path, content=pieces)) == TOO_LARGE
    assert pieces.taken <= 12


async def test_the_longest_body_is_read(narrow: httpx.AsyncClient) -> None:
    assert (await narrow.post("/api/show", content=padded(LIMIT))).status_code == 404
    assert (await narrow.post("/api/show", content=padded(LIMIT + 1))).status_code == 413


async def test_there_need_not_be_a_limit(services: Services) -> None:
    free = replace(services, settings=replace(services.settings, max_body=0))
    transport = httpx.ASGITransport(create_app(free))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        assert (await client.post("/api/show", content=padded(1 << 20))).status_code == 404


async def test_files_may_be_longer(narrow: httpx.AsyncClient) -> None:
    answer = await narrow.post(f"/api/blobs/sha256:{'0' * 64}", content=padded(LIMIT + 1))
    assert "digest mismatch" in answer.json()["error"]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_no_body_is_a_missing_one_and_what_it_is_said_to_be_does_not_matter(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    if path == "/api/prune":
        return
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        answer = await http.request(method, path, headers={"Content-Type": kind})
        assert result(answer) == (400, {"error": "missing request body"})


@pytest.mark.parametrize("body", [b" \r\n\t", b"null", b"{}", b'{"MODEL":""} trailing', b"{}{}", b'\n {"x":[1,{}]}'])
async def test_only_the_first_value_counts_and_null_is_an_empty_object(http: httpx.AsyncClient, body: bytes) -> None:
    expected = "model is required" if body.strip() else "missing request body"
    assert result(await http.post("/api/show", content=body)) == (400, {"error": expected})


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(padded(100))),
        ("x-gzip", gzip.compress(padded(100))),
        ("GZip", gzip.compress(padded(10_000))),
        ("zstd", zstandard.compress(padded(10_000))),
        ("identity", padded(100)),
        ("br", padded(100)),
        ("utf-8", padded(100)),
    ],
)
async def test_compressed_bodies_are_read_and_other_encodings_ignored(
    narrow: httpx.AsyncClient, encoding: str, body: bytes
) -> None:
    """The limit is for what is sent; what comes out has its own."""
    answer = await narrow.post("/api/show", content=body, headers={"Content-Encoding": encoding})
    assert result(answer) == (404, {"error": "model 'nope:latest' not found"})


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"", (400, {"error": "missing request body"})),
        (bytes((20 << 20) + 1), (413, {"error": "request body too large: more than 20971520 bytes once decompressed"})),
    ],
)
async def test_the_content_of_compressed_bodies_has_bounds(
    http: httpx.AsyncClient, encoding: str, content: bytes, answer: tuple[int, object]
) -> None:
    body = gzip.compress(content, 1) if encoding == "gzip" else zstandard.compress(content)
    assert result(await http.post("/api/show", content=body, headers={"Content-Encoding": encoding})) == answer


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_body_that_is_not_compressed_as_it_says_is_refused(http: httpx.AsyncClient, encoding: str) -> None:
    answer = await http.post("/api/show", content=b'{"model":"nope"}', headers={"Content-Encoding": encoding})
    assert result(answer) == (400, {"error": "failed to decompress request body"})


@pytest.mark.parametrize("count", [1, 9_999, 10_001, 200_000])
async def test_depth_costs_no_recursion(http: httpx.AsyncClient, count: int) -> None:
    """Beyond ten thousand it is refused, as Go refuses it."""
    answer = await http.post("/api/show", content=b'{"options":%s' % (b"[" * count))
    expected = "unexpected EOF" if count < 10_000 else "invalid character '[' exceeded max depth"
    assert result(answer) == (400, {"error": expected})
