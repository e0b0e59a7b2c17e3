"""Tokens of a text and the text of tokens: what is asked of the model, and what each endpoint says."""

import asyncio
from typing import Any

import httpx
import pytest

from scheduler.errors import RunnerDied
from scheduler.requests import LoadOptions
from server.app import create_app
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import Caller, FakeScheduler, install

pytestmark = pytest.mark.anyio

TOKENIZE, DETOKENIZE = "/api/tokenize", "/api/detokenize"
BOTH = pytest.mark.parametrize("path", [TOKENIZE, DETOKENIZE])


@pytest.fixture
def model(services: Services) -> str:
    install(services.store, "m", parameters={"num_ctx": 16})
    return "m"


async def refusal(http: httpx.AsyncClient, path: str, **body: Any) -> tuple[int, str]:
    answer = await http.post(path, json=body)
    assert list(answer.json()) == ["error"]
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"prompt": "hi"}, [1, 104, 105]),
        ({"prompt": "hi", "add_special": None}, [1, 104, 105]),
        ({"prompt": "hi", "add_special": False}, [104, 105]),
        ({}, [1]),
        ({"add_special": False}, []),
    ],
)
async def test_tokens_of_a_text(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, body: dict[str, Any], tokens: list[int]
) -> None:
    answer = await http.post(TOKENIZE, json={"model": "M", **body})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert list(answer.json()) == ["model", "tokens", "total_duration", "load_duration"]
    assert (answer.json()["model"], answer.json()["tokens"]) == ("M", tokens)
    assert scheduler.balanced


@pytest.mark.parametrize(("tokens", "content"), [([104, 105], "hi"), ([], ""), (None, "")])
async def test_the_text_of_tokens(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, tokens: list[int] | None, content: str
) -> None:
    answer = await http.post(DETOKENIZE, json={"model": "M", "tokens": tokens})
    assert list(answer.json()) == ["model", "content", "total_duration", "load_duration"]
    assert (answer.json()["model"], answer.json()["content"]) == ("M", content)
    assert scheduler.balanced


@pytest.mark.parametrize("token", [-1, 256, 1 << 40])
async def test_a_token_that_the_model_does_not_have(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, token: int
) -> None:
    text = f"token {token} is not in the vocabulary of 256"
    assert await refusal(http, DETOKENIZE, model="m", tokens=[255, token]) == (400, text)
    assert scheduler.balanced


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (TOKENIZE, {"prompt": 1}, "number into Go struct field TokenizeRequest.prompt of type string"),
        (TOKENIZE, {"add_special": "no"}, "string into Go struct field TokenizeRequest.add_special of type bool"),
        (DETOKENIZE, {"tokens": "1"}, "string into Go struct field DetokenizeRequest.tokens of type []int"),
        (DETOKENIZE, {"tokens": [1.5]}, "number 1.5 into Go struct field DetokenizeRequest.tokens of type int"),
        (DETOKENIZE, {"tokens": [1 << 64]},
         f"number {1 << 64} into Go struct field DetokenizeRequest.tokens of type int"),
    ],
)  # fmt: skip
async def test_what_cannot_be_decoded(http: httpx.AsyncClient, path: str, body: dict[str, Any], text: str) -> None:
    assert await refusal(http, path, model="m", **body) == (400, f"json: cannot unmarshal {text}")


@BOTH
@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("", (404, "model '' not found")),
        ("a b", (400, "invalid model name")),
        ("nope", (404, "model 'nope' not found")),
        ("m:cloud", (403, "ollama cloud is disabled: remote model is unavailable")),
    ],
)
async def test_names_of_nothing(http: httpx.AsyncClient, path: str, name: str, refused: tuple[int, str]) -> None:
    assert await refusal(http, path, model=name) == refused


@BOTH
@pytest.mark.parametrize("tokenizer", ["no_vocab", "none"])
async def test_weights_without_a_vocabulary_are_not_loaded(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, path: str, tokenizer: str
) -> None:
    install(services.store, "m", tinygguf.model(tokenizer__ggml__model=tokenizer))
    assert await refusal(http, path, model="M") == (400, f'"M" does not support {path.removeprefix("/api/")}')
    assert scheduler.asked == []


@BOTH
async def test_the_model_is_taken_as_it_is_loaded(
    http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, path: str
) -> None:
    """The options are for the case that it has to be loaded first."""
    assert (await http.post(path, json={"model": "m", "keep_alive": 0})).status_code == 200
    assert (await http.post(path, json={"model": "m", "options": {"num_ctx": 32}})).status_code == 200
    first, second = scheduler.asked
    assert (first.as_loaded, first.keep_alive, first.options) == (True, 0, LoadOptions(num_ctx=16))
    assert (second.as_loaded, second.keep_alive, second.options) == (True, None, LoadOptions(num_ctx=32))


@BOTH
async def test_options_are_checked(http: httpx.AsyncClient, scheduler: FakeScheduler, model: str, path: str) -> None:
    text = 'option "num_ctx" must be of type integer'
    assert await refusal(http, path, model="m", options={"num_ctx": "x"}) == (500, text)
    assert scheduler.asked == []


async def test_a_runner_that_dies(http: httpx.AsyncClient, scheduler: FakeScheduler, model: str) -> None:
    scheduler.runner.dead = RunnerDied("signal: killed")
    assert await refusal(http, TOKENIZE, model="m", prompt="a") == (500, str(scheduler.runner.dead))
    assert scheduler.balanced


@BOTH
async def test_a_client_that_leaves_is_not_waited_for(
    services: Services, scheduler: FakeScheduler, model: str, path: str
) -> None:
    scheduler.held = asyncio.Event()
    caller = Caller(create_app(services), path, model="m", prompt="a", tokens=[97])
    task = caller.start()
    await asyncio.wait_for(scheduler.was_asked.wait(), 5)
    caller.gone.set()
    await asyncio.wait_for(task, 5)
    assert scheduler.released == 0, "nothing was lent"
