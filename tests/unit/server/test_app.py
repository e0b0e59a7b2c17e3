"""Routing, redirects, CORS and Host check of the whole application: the reference's manners, none of FastAPI's."""

import os
import sys

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from server.app import create_app
from server.errors import InvalidOrigin
from server.paths import Endpoint
from server.services import Services
from server.settings import Settings

pytestmark = pytest.mark.anyio

PAGE = "http://localhost:3000"


def client_of(services: Services, *endpoints: Endpoint, check_hosts: bool = True) -> httpx.AsyncClient:
    app = create_app(services, check_hosts=check_hosts, endpoints=endpoints)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:11434")


async def test_says_that_it_is_there(http: httpx.AsyncClient) -> None:
    answer = await http.get("/")
    assert (answer.status_code, answer.text) == (200, "Ollama is running")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert (await http.head("/")).headers["content-length"] == "17"


async def test_tells_its_version(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/version")
    assert answer.content == b'{"version":"0.33.0"}'
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "server" not in answer.headers
    assert answer.headers["date"].endswith(" GMT")


async def test_the_cloud_is_disabled(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/status")).json() == {"cloud": {"disabled": True, "source": "env"}}


@pytest.mark.parametrize("path", ["/nope", "/api", "/docs", "/redoc", "/openapi.yaml", "/API/TAGS", "/api/tags%20"])
async def test_an_unknown_path(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.text) == (404, "404 page not found")
    assert answer.headers["content-type"] == "text/plain"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/show", "POST"),
        ("HEAD", "/api/ps", "GET"),
        ("POST", "/api/tags", "HEAD, GET"),
        ("DELETE", "/", "HEAD, GET"),
        ("GET", "/api/blobs/x", "HEAD, POST"),
        ("OPTIONS", "/api/tags", "HEAD, GET"),
    ],
)
async def test_a_wrong_method(http: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-length"] == "22"


@pytest.mark.parametrize(
    ("method", "path", "status", "location", "text"),
    [
        ("GET", "/api/tags/?x=1&y", 301, "/api/tags?x=1&y", '<a href="/api/tags?x=1&amp;y">Moved Permanently</a>.\n\n'),
        ("GET", "/api//tags", 307, "/api/tags", '<a href="/api/tags">Temporary Redirect</a>.\n\n'),
        ("POST", "/api/show/", 307, "/api/show", ""),
        ("HEAD", "/api/tags/", 307, "/api/tags", ""),
    ],
)
async def test_redirects(
    http: httpx.AsyncClient, method: str, path: str, status: int, location: str, text: str
) -> None:
    answer = await http.request(method, path, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, answer.headers["location"], answer.text) == (status, location, text)
    assert ("content-type" in answer.headers) == (method in ("GET", "HEAD"))
    assert ("content-length" in answer.headers) == (method != "HEAD")


async def test_a_page_of_this_machine_is_let_in(http: httpx.AsyncClient) -> None:
    for path, status in (("/api/version", 200), ("/nope", 404)):
        answer = await http.get(path, headers={"Origin": PAGE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
        assert answer.headers["vary"] == "Origin"


async def test_errors_of_handlers_reach_pages_too(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/show", json={"model": "nope"}, headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (404, PAGE)


async def test_a_foreign_page_is_refused_before_anything_else(http: httpx.AsyncClient) -> None:
    for path in ("/api/version", "/nope"):
        answer = await http.get(path, headers={"Origin": "https://evil.example"})
        assert (answer.status_code, answer.content) == (403, b"")
        assert "access-control-allow-origin" not in answer.headers


async def test_the_servers_own_page_needs_no_headers(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/version", headers={"Origin": "https://127.0.0.1:11434"})
    assert answer.status_code == 200
    assert "vary" not in answer.headers


async def test_a_preflight(http: httpx.AsyncClient) -> None:
    answer = await http.options("/api/show", headers={"Origin": PAGE, "Host": "evil.example"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "POST"
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert answer.headers["access-control-allow-headers"].startswith("Authorization,Content-Type,User-Agent,Accept,")
    assert answer.headers["access-control-max-age"] == "43200"
    assert answer.headers.get_list("vary") == [
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
    ]


async def test_everyone_may_call_where_the_operator_says_so(services: Services) -> None:
    settings = Settings.from_env({"OLLAMA_ORIGINS": "*", "HOME": "/nowhere"})
    app = create_app(Services(settings, services.store, services.scheduler, services.transfers))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.get("/api/version", headers={"Origin": "null"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "vary" not in answer.headers


async def test_a_bad_origin_pattern_stops_the_start(services: Services) -> None:
    settings = Settings.from_env({"OLLAMA_ORIGINS": "x", "HOME": "/nowhere"})
    with pytest.raises(InvalidOrigin):
        create_app(Services(settings, services.store, services.scheduler, services.transfers))


async def test_foreign_names_are_refused_and_options_under_own_ones_answered(http: httpx.AsyncClient) -> None:
    refused = await http.get("/api/version", headers={"Host": "evil.example", "Origin": "http://localhost"})
    assert (refused.status_code, refused.content) == (403, b"")
    assert refused.headers["access-control-allow-origin"] == "http://localhost"
    assert (await http.get("/api/version", headers={"Host": "box.local"})).status_code == 200
    answered = await http.options("/api/tags", headers={"Host": "localhost"})
    assert (answered.status_code, answered.headers["allow"]) == (204, "HEAD, GET")


async def test_names_do_not_matter_on_a_public_address(services: Services) -> None:
    async def handler(request: Request) -> Response:
        return Response()

    async with client_of(services, Endpoint("/", handler, ("GET",)), check_hosts=False) as client:
        assert (await client.get("/", headers={"Host": "evil.example"})).status_code == 200


async def test_an_unforeseen_error_is_500_without_a_body(
    services: Services, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(request: Request) -> Response:
        raise ZeroDivisionError

    async with client_of(services, Endpoint("/", handler, ("GET",))) as client:
        answer = await client.get("/", headers={"Origin": PAGE})
    assert (answer.status_code, answer.content) == (500, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE


async def test_new_requests_are_refused_while_draining(services: Services, http: httpx.AsyncClient) -> None:
    services.activity.draining = True
    answer = await http.get("/api/version")
    assert (answer.status_code, answer.json()) == (503, {"error": "server is shutting down"})
    assert answer.headers["connection"] == "close"


async def test_the_access_log_has_a_line_a_request_and_no_bodies(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await http.post('/api/show?x="1"', content=b'{"model":"canary"}')
    await http.get("/nope")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("[GIN] ")
    assert "| 404 |" in first
    assert first.endswith(r'| POST     "/api/show?x=%221%22"')
    assert second.endswith('| GET      "/nope"')
    assert "canary" not in first + second


async def test_requests_are_served_when_nobody_reads_the_access_log(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    monkeypatch.setattr(sys, "stdout", os.fdopen(write_end, "w", buffering=1, closefd=False))
    assert (await http.get("/")).status_code == 200
    os.close(write_end)
