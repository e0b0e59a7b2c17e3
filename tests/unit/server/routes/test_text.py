"""What /api/generate and /api/chat share: status, media type and lines of each outcome, and a lease that ends."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from modelstore.names import Name
from scheduler.errors import LoadFailed, QueueFull, RunnerDied, RunnerFailed, ShuttingDown, WeightsMissing
from scheduler.frames import Logprob
from server.app import create_app
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import Caller, FakeScheduler, done, install, say, say_probably

pytestmark = pytest.mark.anyio

JSON = "application/json; charset=utf-8"
PATHS = ["/api/generate", "/api/chat"]
CANNOT = LoadFailed("cannot load")


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, services: Services) -> str:
    install(services.store, "m")
    return request.param


def body(path: str, **members: Any) -> dict[str, Any]:
    asked = {"prompt": "hi"} if path == "/api/generate" else {"messages": [{"role": "user", "content": "hi"}]}
    return {"model": "m", **asked, **members}


def text(line: dict[str, Any]) -> str:
    return line["response"] if "response" in line else line["message"]["content"]


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.content.endswith(b"\n")
    return [json.loads(line) for line in answer.content.splitlines()]


async def test_a_stream(http: httpx.AsyncClient, scheduler: FakeScheduler, path: str) -> None:
    scheduler.runner.script = [[say("a", "b"), done("c")]]
    answer = await http.post(path, json=body(path))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert "content-length" not in answer.headers
    told = lines(answer)
    assert [(text(line), line["done"]) for line in told] == [("a", False), ("b", False), ("c", False), ("", True)]
    assert told[-1]["done_reason"] == "stop"
    assert told[-1]["total_duration"] >= told[-1]["load_duration"] > 0
    assert scheduler.balanced


async def test_an_answer_without_text_is_a_stream_of_one_line(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str
) -> None:
    scheduler.runner.script = [[done()]]
    (line,) = lines(await http.post(path, json=body(path)))
    assert line["done"] is True
    assert scheduler.balanced


async def test_a_whole_answer(http: httpx.AsyncClient, scheduler: FakeScheduler, path: str) -> None:
    scheduler.runner.script = [[say("a", "b"), done("c")]]
    answer = await http.post(path, json=body(path, stream=False))
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    assert (text(answer.json()), answer.json()["done"]) == ("abc", True)
    assert scheduler.balanced


@pytest.mark.parametrize("stream", [True, False])
async def test_logprobs(http: httpx.AsyncClient, scheduler: FakeScheduler, path: str, stream: bool) -> None:
    first, second = Logprob("a", -1.0), Logprob("b", -2.0)
    scheduler.runner.script = [[say_probably("a", first), say_probably("b", second), done()]]
    told = lines(await http.post(path, json=body(path, logprobs=True))) if stream else []
    told = told or [(await http.post(path, json=body(path, logprobs=True, stream=False))).json()]
    shown = [[entry["token"] for entry in line.get("logprobs", [])] for line in told]
    assert shown == ([["a"], ["b"], []] if stream else [["a", "b"]])
    assert scheduler.runner.asked[0].get("logprobs") == 0


@pytest.mark.parametrize(
    ("members", "reason"),
    [({"prompt": "", "messages": []}, "load"), ({"prompt": "", "messages": [], "keep_alive": 0}, "unload")],
)
async def test_shortcuts_are_single_objects(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str, members: dict[str, Any], reason: str
) -> None:
    answer = await http.post(path, json=body(path, **members))
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    assert (answer.json()["done"], answer.json()["done_reason"]) == (True, reason)
    assert len(scheduler.asked) == scheduler.released == (reason == "load")
    assert len(scheduler.expired) == (reason == "unload")


async def test_a_rendered_prompt_is_a_single_object(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str
) -> None:
    answer = await http.post(path, json=body(path, _debug_render_only=True))
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    assert "hi" in answer.json()["_debug_info"]["rendered_template"]
    assert scheduler.balanced
    assert scheduler.runner.asked == []


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (RunnerFailed("too long", 400), 400, "too long"),
        (RunnerDied("signal: killed"), 500, str(RunnerDied("signal: killed"))),
    ],
)
async def test_a_failure_before_the_first_piece_has_its_own_status(
    http: httpx.AsyncClient,
    scheduler: FakeScheduler,
    path: str,
    stream: bool,
    error: Exception,
    status: int,
    message: str,
) -> None:
    scheduler.runner.script = [[error]]
    answer = await http.post(path, json=body(path, stream=stream))
    assert (answer.status_code, answer.json()) == (status, {"error": message})
    assert answer.headers["content-type"] == ("application/json" if stream else JSON)
    assert scheduler.balanced


async def test_a_failure_after_the_first_piece_is_the_last_line(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str
) -> None:
    scheduler.runner.script = [[say("a"), RunnerFailed("lost", 400)]]
    answer = await http.post(path, json=body(path))
    first, last = lines(answer)
    assert (answer.status_code, text(first), last) == (200, "a", {"error": "lost"})
    assert scheduler.balanced


async def test_a_whole_answer_is_not_sent_by_halves(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str
) -> None:
    scheduler.runner.script = [[say("a"), RunnerFailed("lost", 500)]]
    answer = await http.post(path, json=body(path, stream=False))
    assert (answer.status_code, answer.json()) == (500, {"error": "lost"})
    assert scheduler.balanced


@pytest.mark.parametrize("piece", [True, False])
async def test_an_error_nobody_foresaw_tells_nothing(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str, piece: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.runner.script = [[*([say("a")] if piece else []), ZeroDivisionError("secret")]]
    answer = await http.post(path, json=body(path))
    if piece:
        assert (answer.status_code, lines(answer)[-1]) == (200, {"error": "internal server error"})
    else:
        assert (answer.status_code, answer.content) == (500, b"")
    assert scheduler.balanced


async def test_a_bad_format_is_an_error_of_the_generation(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str
) -> None:
    answer = await http.post(path, json=body(path, format="xml"))
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert answer.json()["error"] == r'invalid format: "\"xml\""; expected "json" or a valid JSON Schema object'
    assert scheduler.balanced


@pytest.mark.parametrize(("error", "status"), [(QueueFull(1), 503), (ShuttingDown(), 503), (CANNOT, 500)])
async def test_no_lease_no_answer(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str, error: Exception, status: int
) -> None:
    scheduler.refusal = error
    answer = await http.post(path, json=body(path))
    assert (answer.status_code, answer.json()) == (status, {"error": str(error)})
    assert answer.headers["content-type"] == JSON
    assert scheduler.released == 0


async def test_a_template_that_fails_gives_the_lease_back(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, path: str
) -> None:
    install(services.store, "m", template="{{ slice .Prompt 9 }}{{ range .Messages }}{{ slice .Content 9 }}{{ end }}")
    answer = await http.post(path, json=body(path))
    assert answer.status_code == 500
    assert answer.headers["content-type"] == JSON
    assert scheduler.balanced


async def test_a_runner_that_dies_while_tokens_are_counted_gives_the_lease_back(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler
) -> None:
    install(services.store, "m")
    scheduler.runner.dead = RunnerDied("signal: killed")
    long = [{"role": "user", "content": "x" * 100}, {"role": "user", "content": "y"}]
    answer = await http.post("/api/chat", json={"model": "m", "messages": long})
    assert answer.status_code == 500
    assert scheduler.balanced


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_before_the_first_piece(
    services: Services, scheduler: FakeScheduler, path: str, stream: bool
) -> None:
    scheduler.runner.script = [[]]
    caller = Caller(create_app(services), path, **body(path, stream=stream))
    task = caller.start()
    await asyncio.wait_for(scheduler.runner.started.wait(), 5)
    await asyncio.wait_for(scheduler.runner.streams[0].dry.wait(), 5)
    caller.gone.set()
    await asyncio.wait_for(task, 5)
    assert scheduler.runner.streams[0].closed
    assert scheduler.balanced


async def test_a_client_that_leaves_mid_stream(services: Services, scheduler: FakeScheduler, path: str) -> None:
    scheduler.runner.script = [[say("a")]]
    caller = Caller(create_app(services), path, **body(path))
    task = caller.start()
    await asyncio.wait_for(caller.got_line.wait(), 5)
    assert scheduler.released == 0
    caller.gone.set()
    await asyncio.wait_for(task, 5)
    assert scheduler.runner.streams[0].closed
    assert scheduler.balanced


async def test_a_client_that_leaves_in_the_queue(services: Services, scheduler: FakeScheduler, path: str) -> None:
    scheduler.held = asyncio.Event()
    caller = Caller(create_app(services), path, **body(path))
    task = caller.start()
    await asyncio.wait_for(scheduler.was_asked.wait(), 5)
    caller.gone.set()
    await asyncio.wait_for(task, 5)
    assert scheduler.runner.asked == []
    assert scheduler.released == 0, "there never was a lease"


@pytest.mark.parametrize("top", [-1, 21])
async def test_too_many_alternatives_come_before_the_name(http: httpx.AsyncClient, path: str, top: int) -> None:
    """Whether or not log-probabilities are asked for at all."""
    answer = await http.post(path, json={"model": "", "top_logprobs": top})
    assert (answer.status_code, answer.json()) == (400, {"error": "top_logprobs must be between 0 and 20"})


async def test_answers_repeat_the_name_as_it_was_sent(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str
) -> None:
    scheduler.runner.script = [[done("a")]]
    assert {line["model"] for line in lines(await http.post(path, json=body(path, model="M:Latest")))} == {"M:Latest"}


async def test_a_model_without_its_weights_can_do_nothing(
    http: httpx.AsyncClient, services: Services, path: str
) -> None:
    for blob in services.store.layout.blobs.iterdir():
        if blob.read_bytes() == tinygguf.model():
            blob.unlink()
    answer = await http.post(path, json=body(path))
    assert (answer.status_code, answer.json()) == (400, {"error": f'"m" does not support {path[5:]}'})


async def test_weights_that_went_away_since_they_were_read(
    http: httpx.AsyncClient, scheduler: FakeScheduler, services: Services, path: str
) -> None:
    """The same, and no path of the server is told."""
    (weights,) = services.store.catalog.get(Name.parse("m")).weights
    scheduler.refusal = WeightsMissing(str(weights))
    answer = await http.post(path, json=body(path))
    assert (answer.status_code, answer.json()) == (400, {"error": f'"m" does not support {path[5:]}'})


async def test_a_model_that_runs_elsewhere(http: httpx.AsyncClient, scheduler: FakeScheduler, path: str) -> None:
    """It is refused before all other faults; but a chat unloads it like any other."""
    stub = {"model": "stub", "from": "far", "remote_host": "https://ollama.com", "stream": False}
    assert (await http.post("/api/create", json=stub)).status_code == 200
    refused = (403, {"error": "ollama cloud is disabled: remote model is unavailable"})
    faults: dict[str, Any] = {"raw": True, "system": "s", "think": True, "options": {"seed": "x"}}
    nothing: dict[str, Any] = {"prompt": "", "messages": []}
    for members in ({}, faults, nothing):
        answer = await http.post(path, json=body(path, **members | {"model": "stub"}))
        assert (answer.status_code, answer.json()) == refused
    answer = await http.post(path, json={"model": "stub", "keep_alive": 0})
    assert answer.status_code == (200 if path == "/api/chat" else 403)
    answer = await http.post(path, json={"model": "stub:local", "keep_alive": 0})
    assert (answer.status_code, answer.json()) == (404, {"error": "model 'stub:local' not found"})
    assert scheduler.asked == []


async def test_models_that_make_pictures(http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler) -> None:
    """Refused before other faults, even where they would only be loaded, but not where they are unloaded."""
    install(services.store, "painter", info={"capabilities": ["image"]})
    for members in ({"prompt": "x", "raw": True, "system": "s"}, {}):
        answer = await http.post("/api/generate", json={"model": "painter", **members})
        text = "image generation models are not currently supported"
        assert (answer.status_code, answer.json()) == (400, {"error": text})
    assert scheduler.asked == []
    answer = await http.post("/api/generate", json={"model": "painter", "keep_alive": 0})
    assert answer.json()["done_reason"] == "unload"
