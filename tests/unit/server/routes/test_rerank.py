"""Documents in the order in which they answer a query: which models can, and what is asked of them."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from scheduler.errors import RunnerFailed
from scheduler.frames import Ranked
from scheduler.requests import LoadOptions
from server.app import create_app
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import LOADED, Caller, FakeScheduler, install

pytestmark = pytest.mark.anyio

RANKS = tinygguf.model("bert", pooling_type=4)
PATHS = pytest.mark.parametrize("path", ["/api/rerank", "/v1/rerank", "/v2/rerank"])
ASK = {"model": "m", "query": "q", "documents": ["a", {"text": "b", "image": "x"}]}


@pytest.fixture
def model(services: Services, scheduler: FakeScheduler) -> str:
    install(services.store, "m", RANKS)
    scheduler.info = msgspec.structs.replace(LOADED, ranks=True)
    scheduler.runner.ranked = Ranked(1, [0.0, 1.5], 9)
    return "m"


async def refusal(http: httpx.AsyncClient, **body: Any) -> tuple[int, str]:
    answer = await http.post("/api/rerank", json=body)
    assert list(answer.json()) == ["error"]
    return answer.status_code, answer.json()["error"]


@PATHS
async def test_results(http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, path: str) -> None:
    """Members of other servers do no harm."""
    more = {"max_tokens_per_doc": 7, "truncation": True, "rank_fields": ["text"], "max_chunks_per_doc": 1, "user": None}
    answer = await http.post(path, json={**ASK, "model": "M", **more})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.text == (
        '{"model":"M","results":[{"index":1,"relevance_score":0.8175744761936437},'
        '{"index":0,"relevance_score":0.5}],"usage":{"total_tokens":9}}'
    )
    assert scheduler.runner.ranks == [("q", ["a", "b"])]
    assert scheduler.balanced


async def test_no_documents_only_load(http: httpx.AsyncClient, scheduler: FakeScheduler, model: str) -> None:
    body: dict[str, Any] = {**ASK, "documents": [], "keep_alive": 0, "options": {"num_ctx": 32}}
    answer = await http.post("/api/rerank", json=body)
    assert answer.text == '{"model":"m","results":[],"usage":{"total_tokens":0}}'
    (asked,) = scheduler.asked
    assert (asked.keep_alive, asked.options, asked.as_loaded) == (0, LoadOptions(num_ctx=32), False)
    assert scheduler.runner.ranks == []
    assert scheduler.balanced


@pytest.mark.parametrize(
    "weights", [tinygguf.model(), tinygguf.model("bert", pooling_type=1)], ids=["generates", "embeds"]
)
async def test_a_model_of_another_kind_is_not_even_loaded(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, weights: bytes
) -> None:
    install(services.store, "m", weights)
    assert await refusal(http, **{**ASK, "model": "M"}) == (400, '"M" does not support rerank')
    assert scheduler.asked == []


async def test_a_file_that_only_calls_itself_a_ranker(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str
) -> None:
    scheduler.info = LOADED
    assert await refusal(http, **ASK) == (400, '"m" does not support rerank')
    assert scheduler.balanced


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"model": ""}, (404, "model '' not found")),
        ({"model": "a b"}, (400, "invalid model name")),
        ({"model": "nope"}, (404, "model 'nope' not found")),
        ({"model": "nope", "query": ""}, (400, "query is required")),
        ({"options": {"num_ctx": "x"}}, (500, 'option "num_ctx" must be of type integer')),
    ],
)
async def test_what_is_refused(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, changes: dict[str, Any], refused: tuple[int, str]
) -> None:
    assert await refusal(http, **{**ASK, **changes}) == refused
    assert scheduler.asked == []


async def test_a_failure_of_the_engine(http: httpx.AsyncClient, scheduler: FakeScheduler, model: str) -> None:
    scheduler.runner.ranked = RunnerFailed("input after truncation exceeds maximum context length", 400)
    assert await refusal(http, **ASK) == (400, "input after truncation exceeds maximum context length")
    assert scheduler.balanced


async def test_a_client_that_leaves_is_not_waited_for(services: Services, scheduler: FakeScheduler, model: str) -> None:
    scheduler.held = asyncio.Event()
    caller = Caller(create_app(services), "/api/rerank", **ASK)
    task = caller.start()
    await asyncio.wait_for(scheduler.was_asked.wait(), 5)
    caller.gone.set()
    await asyncio.wait_for(task, 5)
    assert scheduler.runner.ranks == []
