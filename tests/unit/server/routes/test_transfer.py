"""Create, pull and push: streams of events, single answers, errors before and after the first line."""

import json
from typing import Any

import httpx
import pytest

from modelstore.errors import CreateError, StoreError
from modelstore.progress import Progress, Report
from server.services import Services

pytestmark = pytest.mark.anyio


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
async def tinychat(http: httpx.AsyncClient) -> str:
    assert (await http.post("/api/pull", json={"model": "tinychat", "stream": False})).status_code == 200
    return "tinychat"


async def test_a_pull_tells_its_events_in_order(http: httpx.AsyncClient) -> None:
    events = lines(await http.post("/api/pull", json={"model": "TinyChat"}))
    statuses = [event["status"] for event in events]
    assert statuses[0] == "pulling manifest"
    assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    first = events[1]
    assert list(first) == ["status", "digest", "total"], "nothing is completed yet"
    assert first["status"] == "pulling " + first["digest"][7:19]


async def test_a_pull_in_one_piece_tells_only_the_end(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/pull", json={"name": "tinychat", "stream": False})
    assert (answer.status_code, answer.content) == (200, b'{"status":"success"}')
    assert answer.headers["content-type"] == "application/json"


async def test_an_unknown_model_is_an_error_line_or_an_error(http: httpx.AsyncClient) -> None:
    message = {"error": "pull model manifest: file does not exist"}
    streamed = await http.post("/api/pull", json={"model": "nope"})
    assert streamed.status_code == 200
    assert lines(streamed) == [{"status": "pulling manifest"}, message]
    whole = await http.post("/api/pull", json={"model": "nope", "stream": False})
    assert (whole.status_code, whole.json()) == (500, message)
    assert whole.headers["content-type"] == "application/json"


async def test_an_error_before_the_first_line_has_its_status(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/pull", json={"model": "http://h/n/m"})
    assert (answer.status_code, answer.json()) == (500, {"error": "insecure protocol http"})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "invalid model name"),
        (" ", "invalid model name"),
        ("a b", "invalid model name"),
        ("x:cloud:local", 'use either :local or :cloud, not both: "x:cloud:local"'),
    ],
)
async def test_pull_refuses_names(http: httpx.AsyncClient, name: str, message: str) -> None:
    answer = await http.post("/api/pull", json={"model": name})
    assert (answer.status_code, answer.json()) == (400, {"error": message})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        (" ", "registry.ollama.ai/library/ :latest"),
        ("a b", "registry.ollama.ai/library/a b:latest"),
        ("x:cloud:local", "registry.ollama.ai/library/x:cloud:local"),
        ("h/a/b c:1", "h/a/b c:1"),
    ],
)
async def test_push_looks_for_the_manifest_first(http: httpx.AsyncClient, name: str, full: str) -> None:
    assert lines(await http.post("/api/push", json={"model": name})) == [
        {"status": "retrieving manifest"},
        {"status": "couldn't retrieve manifest"},
        {"error": f"unqualified name: {full}"},
    ]


async def test_push_of_a_model_that_is_not_there(http: httpx.AsyncClient, services: Services) -> None:
    path = services.store.layout.manifests / "registry.ollama.ai" / "acme" / "nope" / "latest"
    answer = await http.post("/api/push", json={"model": "acme/nope", "stream": False})
    assert (answer.status_code, answer.json()) == (500, {"error": f"open {path}: no such file or directory"})
    assert (await http.post("/api/push", json={})).json() == {"error": "model is required"}


async def test_push_needs_a_registry(http: httpx.AsyncClient, tinychat: str) -> None:
    events = lines(await http.post("/api/push", json={"model": tinychat}))
    assert events == [{"status": "retrieving manifest"}, {"error": "pushing tinychat:latest needs a registry"}]


async def test_creates_from_an_installed_model(http: httpx.AsyncClient, tinychat: str) -> None:
    messages = [{"role": "USER", "content": "Hi"}]
    body = {"model": "tmp", "from": tinychat, "system": "Be brief.", "parameters": {"top_k": 1}, "messages": messages}
    events = lines(await http.post("/api/create", json=body))
    assert [event["status"] for event in events][-2:] == ["writing manifest", "success"]
    shown = (await http.post("/api/show", json={"model": "tmp"})).json()
    assert shown["system"] == "Be brief."
    assert shown["messages"] == [{"role": "user", "content": "Hi"}]
    assert shown["details"]["parent_model"] == "tinychat:latest"


async def test_creating_in_one_piece(http: httpx.AsyncClient, tinychat: str) -> None:
    answer = await http.post("/api/create", json={"name": "tmp", "from": tinychat, "stream": False})
    assert (answer.status_code, answer.content) == (200, b'{"status":"success"}')
    assert answer.headers["content-type"] == "application/json"


async def test_a_base_that_is_not_there_is_pulled(http: httpx.AsyncClient) -> None:
    events = lines(await http.post("/api/create", json={"model": "tmp", "from": "tinychat"}))
    assert events[0] == {"status": "pulling manifest"}
    assert [event for event in events if event == {"status": "success"}] == [events[-1]]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"model": "a b"}, "application/json; charset=utf-8", "invalid model name"),
        ({"model": "x", "files": {"/a": "b"}}, "application/json; charset=utf-8", "file path must be relative"),
        ({"model": "x"}, "application/json", "neither 'from' or 'files' was specified"),
        ({"model": "x", "from": "a b"}, "application/json", "invalid model name"),
    ],
)
async def test_create_refuses(http: httpx.AsyncClient, body: dict[str, Any], kind: str, message: str) -> None:
    answer = await http.post("/api/create", json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": message})
    assert answer.headers["content-type"] == kind


async def test_a_license_of_the_wrong_type(http: httpx.AsyncClient, tinychat: str) -> None:
    answer = await http.post("/api/create", json={"model": "tmp", "from": tinychat, "license": 5})
    assert answer.json() == {"error": "json: cannot unmarshal number into Go value of type []string"}
    assert answer.status_code == 500


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StoreError("max retries exceeded: x"), "max retries exceeded: x"),
        (CreateError("late", 400), "late"),
        (ZeroDivisionError(), "internal server error"),
    ],
)
async def test_an_error_after_the_first_line_is_a_line(
    http: httpx.AsyncClient, transfers: Any, error: Exception, message: str
) -> None:
    def work(report: Report) -> None:
        report(Progress("pulling manifest"))
        raise error

    transfers.work = work
    answer = await http.post("/api/pull", json={"model": "x"})
    assert answer.status_code == 200
    assert lines(answer) == [{"status": "pulling manifest"}, {"error": message}]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/api/me", 503, "account unavailable"),
        ("POST", "/api/signout", 401, "you are not currently signed in"),
        ("DELETE", "/api/user/keys/abc", 401, "you are not currently signed in"),
        ("POST", "/api/experimental/web_search", 403, "ollama cloud is disabled: web search is unavailable"),
        ("POST", "/api/experimental/web_fetch", 403, "ollama cloud is disabled: web fetch is unavailable"),
    ],
)
async def test_there_is_no_cloud(http: httpx.AsyncClient, method: str, path: str, status: int, message: str) -> None:
    answer = await http.request(method, path, json={"query": "x"})
    assert (answer.status_code, answer.json()) == (status, {"error": message})
