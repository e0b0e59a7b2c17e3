"""The tables of the reference, row by row: the routes, what names are refused with, what errors look like."""

import json
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.routes import ENDPOINTS
from server.services import Services
from server.settings import Settings
from tests.unit.server.fakes import install

pytestmark = pytest.mark.anyio

ROUTES = {
    "/": "HEAD, GET",
    "/api/version": "HEAD, GET",
    "/api/status": "GET",
    "/api/tags": "HEAD, GET",
    "/api/show": "POST",
    "/api/ps": "GET",
    "/api/generate": "POST",
    "/api/chat": "POST",
    "/api/embed": "POST",
    "/api/embeddings": "POST",
    "/api/create": "POST",
    "/api/blobs/x": "HEAD, POST",
    "/api/copy": "POST",
    "/api/delete": "DELETE",
    "/api/pull": "POST",
    "/api/push": "POST",
    "/api/me": "POST",
    "/api/signout": "POST",
    "/api/user/keys/x": "DELETE",
    "/api/experimental/web_search": "POST",
    "/api/experimental/web_fetch": "POST",
    "/api/experimental/model-recommendations": "GET",
}
METHODS = ["HEAD", "GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"]


@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_takes_its_methods_and_names_them_to_others(http: httpx.AsyncClient, path: str) -> None:
    for method in METHODS:
        answer = await http.request(method, path)
        if method in ROUTES[path].split(", "):
            assert answer.status_code not in (405, 422)
            assert answer.text != "404 page not found"
        else:
            assert (answer.status_code, answer.headers["allow"]) == (405, ROUTES[path])
            assert answer.headers["content-type"] == "text/plain"
            assert answer.headers["content-length"] == "22"
            assert answer.text == ("" if method == "HEAD" else "405 method not allowed")


@pytest.mark.parametrize("path", [path for path in ROUTES if path != "/"])
async def test_a_slash_too_many_leads_to_the_route(http: httpx.AsyncClient, path: str) -> None:
    """Once for all for GET; every other method keeps itself and its body. A wrong method is not led anywhere."""
    for method in METHODS:
        answer = await http.request(method, path + "/?a=b")
        if method in ROUTES[path].split(", "):
            assert answer.status_code == (301 if method == "GET" else 307)
            assert answer.headers["location"] == path + "?a=b"
        else:
            assert answer.status_code == 404
        assert (await http.request(method, f"http://127.0.0.1:11434/{path}")).headers["location"] == path


async def test_heads_have_the_headers_of_the_bodies(http: httpx.AsyncClient, services: Services) -> None:
    """Up to 2048 bytes the length; a longer body goes in chunks."""
    lengths: set[bool] = set()
    for count in (0, 12):
        for number in range(count):
            install(services.store, f"m{number}")
        for path in ("/", "/api/version", "/api/tags"):
            get, head = await http.get(path), await http.head(path)
            assert head.content == b""
            assert head.headers["content-type"] == get.headers["content-type"]
            assert head.headers.get("content-length") == get.headers.get("content-length")
            lengths.add("content-length" in get.headers)
            assert ("content-length" in get.headers) == (len(get.content) <= 2048)
    assert lengths == {True, False}


# -- names --------------------------------------------------------------------------------------------------------

MISSING = "model 'nope' not found"
TRY = 'model "nope" not found, try pulling it first'
NAMES: dict[str, tuple[tuple[int, str], tuple[int, str], tuple[int, str] | None]] = {
    "generate": ((404, "model '' not found"), (400, "invalid model name"), (404, MISSING)),
    "chat": ((400, "model is required"), (400, "invalid model name"), (404, MISSING)),
    "embed": ((404, "model '' not found"), (400, "invalid model name"), (404, TRY)),
    "embeddings": ((400, "model is required"), (400, "invalid model name"), (404, TRY)),
    "show": ((400, "model is required"), (400, "invalid model name"), (404, "model 'nope:latest' not found")),
    "delete": ((400, "model is required"), (400, 'name "a b" is invalid'), (404, MISSING)),
    "pull": ((400, "invalid model name"), (400, "invalid model name"), None),
    "create": ((400, "invalid model name"), (400, "invalid model name"), None),
}
"""Per endpoint: no name, one with a wrong character, one that is not installed."""
BODY = {"prompt": "x", "input": "x", "messages": [{"role": "user", "content": "x"}], "from": "x", "stream": False}


def error(answer: httpx.Response) -> tuple[int, str]:
    assert list(answer.json()) == ["error"]
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize("endpoint", NAMES)
async def test_names_that_cannot_be_used(http: httpx.AsyncClient, endpoint: str) -> None:
    method = "DELETE" if endpoint == "delete" else "POST"
    for name, expected in zip(("", "a b", "nope"), NAMES[endpoint], strict=True):
        if expected is not None:
            answer = await http.request(method, f"/api/{endpoint}", json={**BODY, "model": name})
            assert error(answer) == expected
            assert answer.headers["content-type"] == "application/json; charset=utf-8"
    if endpoint not in ("pull", "create"):
        answer = await http.request(method, f"/api/{endpoint}", json={**BODY, "model": "  "})
        assert error(answer)[0] == NAMES[endpoint][0][0]


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("", "x", (400, 'source "" is invalid')),
        ("a b", "x", (400, 'source "a b" is invalid')),
        (" nope", "x", (400, 'source " nope" is invalid')),
        ("nope", "", (400, 'destination "" is invalid')),
        ("nope", "a b", (400, 'destination "a b" is invalid')),
        ("nope", "x", (404, 'model "nope" not found')),
    ],
)
async def test_names_of_copies(
    http: httpx.AsyncClient, source: str, destination: str, expected: tuple[int, str]
) -> None:
    answer = await http.post("/api/copy", json={"source": source, "destination": destination})
    assert error(answer) == expected


@pytest.mark.parametrize("name", ["m:cloud", "m:CLOUD", "gpt-oss:20b:cloud", "m:20b-cloud", " m:20b-Cloud "])
async def test_what_runs_elsewhere_is_refused(http: httpx.AsyncClient, name: str) -> None:
    for endpoint in ("generate", "chat", "embed", "embeddings", "show"):
        answer = await http.post(f"/api/{endpoint}", json={**BODY, "model": name})
        what = "remote model details are unavailable" if endpoint == "show" else "remote model is unavailable"
        assert error(answer) == (403, f"ollama cloud is disabled: {what}")


async def test_local_names_are_found_and_two_sources_refused(http: httpx.AsyncClient, services: Services) -> None:
    install(services.store, "m")
    for name in ("m:local", "M:latest:LOCAL", " m "):
        assert (await http.post("/api/show", json={"model": name})).status_code == 200
    answer = await http.post("/api/show", json={"model": "m:local:cloud"})
    assert error(answer) == (400, 'use either :local or :cloud, not both: "m:local:cloud"')


# -- errors -------------------------------------------------------------------------------------------------------

ODD: list[Any] = ["", b"{", b"[]", b"5", b'"x"', b"\xff", b'{"model":5}', b'{"model":{}}', b'{"stream":"x"}', b"{}"]


@pytest.mark.parametrize("path", sorted({endpoint.path for endpoint in ENDPOINTS}))
async def test_no_answer_has_the_shape_of_somebody_elses_errors(http: httpx.AsyncClient, path: str) -> None:
    """An error is an object with an `error`, whatever is sent to whichever endpoint."""
    for endpoint in ENDPOINTS:
        for method in endpoint.methods if endpoint.path == path and path != "/api/prune" else ():
            for body in ODD:
                answer = await http.request(method, path.replace("{", "").replace("}", ""), content=body)
                assert answer.status_code in (200, 400, 401, 403, 404, 500, 503)
                if answer.status_code != 200 and method != "HEAD":
                    assert list(answer.json()) in (["error"], ["error", "signin_url"])
                    assert isinstance(answer.json()["error"], str)


async def test_the_preflight_of_a_server_open_to_everyone(services: Services) -> None:
    settings = Settings.from_env({"OLLAMA_ORIGINS": "*", "HOME": "/nowhere"})
    app = create_app(Services(settings, services.store, services.scheduler, services.transfers))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.options("/api/chat", headers={"Origin": "https://any.example"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-max-age"] == "43200"
    for absent in ("vary", "access-control-allow-credentials", "access-control-expose-headers"):
        assert absent not in answer.headers


async def test_single_objects_are_compact_and_end_without_a_line_break(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/show", content=json.dumps({"model": "<&>\u2028"}))
    assert answer.content == b'{"error":"invalid model name"}'
    answer = await http.request("DELETE", "/api/delete", content=json.dumps({"model": "<&>\u2028é"}))
    assert answer.content == b'{"error":"name \\"\\u003c\\u0026\\u003e\\\\u2028\xc3\xa9\\" is invalid"}'


async def test_a_target_of_the_server_as_a_whole_leads_nowhere(services: Services) -> None:
    """`OPTIONS *`"""
    app = create_app(services, check_hosts=False)
    sent: list[Any] = []

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "OPTIONS",
        "path": "*",
        "query_string": b"",
        "headers": [],
        "client": None,
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 404
