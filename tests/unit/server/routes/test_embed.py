"""Vectors: what may be embedded, how it is asked for, and what each of the two endpoints says when it cannot be."""

import asyncio
from typing import Any

import httpx
import pytest

from scheduler.errors import RunnerDied, RunnerFailed, WeightsMissing
from scheduler.frames import Embedded
from server.app import create_app
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import Caller, FakeScheduler, install

pytestmark = pytest.mark.anyio

WEIGHTS = tinygguf.model("bert", pooling_type=1)
EMBED, EMBEDDINGS = "/api/embed", "/api/embeddings"


@pytest.fixture
def model(services: Services) -> str:
    install(services.store, "m", WEIGHTS)
    return "m"


async def refusal(http: httpx.AsyncClient, path: str, **body: Any) -> tuple[int, str]:
    answer = await http.post(path, json=body)
    assert list(answer.json()) == ["error"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return answer.status_code, answer.json()["error"]


async def test_vectors_of_several_texts(http: httpx.AsyncClient, scheduler: FakeScheduler, model: str) -> None:
    scheduler.runner.embedded = Embedded(1, [b"[0.6,0.8]", b"[1.0,0.0]"], 4)
    answer = await http.post(EMBED, json={"model": "M", "input": ["a", ""], "dimensions": 2, "truncate": False})
    assert list(answer.json()) == ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]
    assert answer.content.startswith(b'{"model":"M","embeddings":[[0.6,0.8],[1.0,0.0]],"total_duration":')
    assert answer.json()["prompt_eval_count"] == 4
    assert scheduler.runner.embeds == [
        {"inputs": ["a", ""], "truncate": False, "dimensions": 2, "normalize": True, "encoding": "json32"}
    ]
    assert scheduler.balanced


async def test_one_text_may_stand_alone_and_is_cut_by_default(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str
) -> None:
    await http.post(EMBED, json={"model": "m", "input": "a", "truncate": None})
    (asked,) = scheduler.runner.embeds
    assert (asked["inputs"], asked.get("truncate"), asked.get("dimensions")) == (["a"], True, 0)


@pytest.mark.parametrize("body", [{}, {"input": None}, {"input": ""}, {"input": []}])
async def test_nothing_to_embed_only_loads(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, body: dict[str, Any]
) -> None:
    answer = await http.post(EMBED, json={"model": "m", "keep_alive": 5, **body})
    assert answer.content == b'{"model":"m","embeddings":[]}'
    assert scheduler.balanced
    assert scheduler.asked[0].keep_alive == 5
    assert scheduler.runner.embeds == []


@pytest.mark.parametrize("value", [5, 0, True, False, {}, [1], ["a", None], [["a"]]])
async def test_what_cannot_be_embedded(http: httpx.AsyncClient, scheduler: FakeScheduler, value: Any) -> None:
    """That is said before anybody looks for the model, though not before its name is read."""
    assert await refusal(http, EMBED, model="nope", input=value) == (400, "invalid input type")
    assert await refusal(http, EMBED, model="", input=value) == (404, "model '' not found")
    assert await refusal(http, EMBED, model="a b", input=value) == (400, "invalid model name")
    assert (await refusal(http, EMBED, model="m:cloud", input=value))[0] == 403
    assert scheduler.asked == []


@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
async def test_a_model_that_is_not_there(http: httpx.AsyncClient, path: str) -> None:
    assert await refusal(http, path, model="nope") == (404, 'model "nope" not found, try pulling it first')


@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
async def test_weights_that_are_gone_are_a_model_that_is_not_there(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, model: str, path: str
) -> None:
    for blob in services.store.layout.blobs.iterdir():
        if blob.read_bytes() == WEIGHTS:
            blob.unlink()
    assert await refusal(http, path, model="m", input="a", prompt="a") == (
        404,
        'model "m" not found, try pulling it first',
    )
    assert scheduler.asked == []


@pytest.mark.parametrize(("path", "status"), [(EMBED, 200), (EMBEDDINGS, 404)])
async def test_only_the_older_endpoint_minds_the_case(
    http: httpx.AsyncClient, model: str, path: str, status: int
) -> None:
    assert (await http.post(path, json={"model": "M"})).status_code == status


@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
async def test_options_are_checked_before_anything_is_loaded(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, path: str
) -> None:
    text = 'option "num_ctx" must be of type integer'
    assert await refusal(http, path, model="m", options={"num_ctx": "x"}) == (500, text)
    assert scheduler.asked == []


@pytest.mark.parametrize(
    ("error", "newer", "older"),
    [
        (RunnerFailed(" too long\n", 400), (400, "too long"), (500, "too long")),
        (RunnerFailed("Compute error.", 500), (500, "Compute error."), (500, "Compute error.")),
        (RunnerDied("x"), (400, str(RunnerDied("x"))), (500, str(RunnerDied("x")))),
    ],
)
async def test_failures_of_the_engine(
    http: httpx.AsyncClient,
    scheduler: FakeScheduler,
    model: str,
    error: Exception,
    newer: tuple[int, str],
    older: tuple[int, str],
) -> None:
    scheduler.runner.embedded = error
    assert await refusal(http, EMBED, model="m", input="a") == newer
    assert await refusal(http, EMBEDDINGS, model="m", prompt="a") == older
    assert (len(scheduler.asked), scheduler.released) == (2, 2)


async def test_the_older_endpoint_gives_the_vector_as_it_is(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str
) -> None:
    scheduler.runner.embedded = Embedded(1, [b"[0.10000000149011612]"], 1)
    answer = await http.post(EMBEDDINGS, json={"model": "m", "prompt": "a"})
    assert answer.content == b'{"embedding":[0.10000000149011612]}'
    assert scheduler.runner.embeds == [
        {"inputs": ["a"], "truncate": False, "dimensions": 0, "normalize": False, "encoding": "json64"}
    ]
    assert scheduler.balanced


async def test_the_older_endpoint_without_a_prompt_only_loads(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str
) -> None:
    assert (await http.post(EMBEDDINGS, json={"model": "m"})).content == b'{"embedding":[]}'
    assert scheduler.balanced


@pytest.mark.parametrize(("name", "answer"), [("", (400, "model is required")), ("a b", (400, "invalid model name"))])
async def test_names_at_the_older_endpoint(http: httpx.AsyncClient, name: str, answer: tuple[int, str]) -> None:
    assert await refusal(http, EMBEDDINGS, model=name, prompt="a") == answer


@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
async def test_a_client_that_leaves_is_not_waited_for(
    services: Services, scheduler: FakeScheduler, model: str, path: str
) -> None:
    scheduler.held = asyncio.Event()
    caller = Caller(create_app(services), path, model="m", input="a", prompt="a")
    task = caller.start()
    await asyncio.wait_for(scheduler.was_asked.wait(), 5)
    caller.gone.set()
    await asyncio.wait_for(task, 5)
    assert scheduler.runner.embeds == []


@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
async def test_weights_that_went_away_since_they_were_read(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, path: str
) -> None:
    """No path of the server is told."""
    scheduler.refusal = WeightsMissing("/store/blobs/sha256-00")
    text = 'model "m" not found, try pulling it first'
    assert await refusal(http, path, model="m", input="a", prompt="a") == (404, text)


@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
async def test_a_model_that_runs_elsewhere_has_nothing_to_embed_with(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, path: str
) -> None:
    body = {"model": "stub", "from": "far", "remote_host": "https://ollama.com", "stream": False}
    assert (await http.post("/api/create", json=body)).status_code == 200
    for name in ("stub", "stub:local"):
        text = f'model "{name}" not found, try pulling it first'
        assert await refusal(http, path, model=name, input="a", prompt="a") == (404, text)
    assert scheduler.asked == []
