"""Examples that end in an error: each with its exact body."""

from typing import Any

import httpx
import pytest

from scheduler.errors import QueueFull, RunnerDied, RunnerFailed
from scheduler.runner.limits import PROMPT_TOO_LONG, cut_length, kept_tokens
from server.services import Services
from tests.unit.server.fakes import FakeScheduler, say
from tests.unit.server.worked_examples.shop import BARE_JSON, JSON, NDJSON, told

pytestmark = pytest.mark.anyio

GENERATE, CHAT, EMBED, SHOW = "/api/generate", "/api/chat", "/api/embed", "/api/show"
USER = {"role": "user", "content": "x"}
TOOL = {"type": "function", "function": {"name": "f"}}
ASK: dict[str, Any] = {"model": "demo", "prompt": "x"}
TALK: dict[str, Any] = {"model": "demo", "messages": [USER]}
LEVELS = r"\"high\", \"medium\", \"low\", \"max\", true, or false"


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        pytest.param(GENERATE, {}, 404, "model '' not found", id="E6-generate"),
        pytest.param(CHAT, {}, 400, "model is required", id="E6-chat"),
        pytest.param(GENERATE, {"model": "nope"}, 404, "model 'nope' not found", id="E7-generate"),
        pytest.param(EMBED, {"model": "nope"}, 404, r"model \"nope\" not found, try pulling it first", id="E7-embed"),
        pytest.param(SHOW, {"model": "nope"}, 404, "model 'nope:latest' not found", id="E7-show"),
        pytest.param(GENERATE, {"model": "a b", "prompt": "x"}, 400, "invalid model name", id="E8"),
        pytest.param(
            GENERATE,
            ASK | {"raw": True, "system": "s"},
            400,
            "raw mode does not support template, system, or context",
            id="E14",
        ),
        pytest.param(
            GENERATE,
            ASK | {"suffix": "y"},
            400,
            "registry.ollama.ai/library/demo:latest does not support insert",
            id="E15-suffix",
        ),
        pytest.param(CHAT, TALK | {"model": "mini-embed"}, 400, r"\"mini-embed\" does not support chat", id="E15-chat"),
        pytest.param(
            GENERATE, ASK | {"model": "mini-embed"}, 400, r"\"mini-embed\" does not support generate", id="E15-generate"
        ),
        pytest.param(GENERATE, ASK | {"think": True}, 400, r"\"demo\" does not support thinking", id="E15-think"),
        pytest.param(
            CHAT,
            TALK | {"model": "ponder", "tools": [TOOL]},
            400,
            "registry.ollama.ai/library/ponder:latest does not support tools",
            id="E15-tools",
        ),
        pytest.param(
            GENERATE,
            ASK | {"options": {"temperature": "hot"}},
            500,
            r"option \"temperature\" must be of type float32",
            id="E16-float",
        ),
        pytest.param(
            GENERATE, ASK | {"options": {"stop": "END"}}, 500, r"option \"stop\" must be of type array", id="E16-array"
        ),
        pytest.param(
            GENERATE,
            ASK | {"options": {"stop": ["a", 1]}},
            500,
            r"option \"stop\" must be of an array of strings",
            id="E16-strings",
        ),
        pytest.param(
            GENERATE, ASK | {"keep_alive": "10"}, 400, r"time: missing unit in duration \"10\"", id="E17-no-unit"
        ),
        pytest.param(
            GENERATE, ASK | {"keep_alive": "1d"}, 400, r"time: unknown unit \"d\" in duration \"1d\"", id="E17-unit"
        ),
        pytest.param(GENERATE, ASK | {"keep_alive": True}, 400, "Unsupported type: 'bool'", id="E17-bool"),
        pytest.param(
            GENERATE, ASK | {"think": "huge"}, 400, rf"invalid think value: \"huge\" (must be {LEVELS})", id="E18-word"
        ),
        pytest.param(GENERATE, ASK | {"think": 1}, 400, f"think must be a boolean or string ({LEVELS})", id="E18-one"),
        pytest.param(
            CHAT,
            {"model": "demo", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
            400,
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string",
            id="E20",
        ),
        pytest.param(
            GENERATE,
            ASK | {"images": ["data:image/png;base64,AAAA"]},
            400,
            "illegal base64 data at input byte 4",
            id="E21",
        ),
        pytest.param(
            GENERATE,
            {"model": "nope", "top_logprobs": 21},
            400,
            "top_logprobs must be between 0 and 20",
            id="E22",
        ),
        pytest.param(
            CHAT,
            TALK
            | {"messages": [{"tool_calls": [{"function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}]}]},
            400,
            "Value looks like object, but can't find closing '}' symbol",
            id="E27",
        ),
        pytest.param(EMBED, {"model": "nope", "input": 5}, 400, "invalid input type", id="E32-number"),
        pytest.param(EMBED, {"model": "nope", "input": ["a", 1]}, 400, "invalid input type", id="E32-item"),
        pytest.param(
            GENERATE,
            {"model": "gpt-oss:20b-cloud", "prompt": "x"},
            403,
            "ollama cloud is disabled: remote model is unavailable",
            id="E45-generate",
        ),
        pytest.param(
            SHOW,
            {"model": "gpt-oss:20b-cloud"},
            403,
            "ollama cloud is disabled: remote model details are unavailable",
            id="E45-show",
        ),
        pytest.param("/api/create", {"model": "x"}, 400, "neither 'from' or 'files' was specified", id="E49-nothing"),
    ],
)
async def test_refused_at_once(
    http: httpx.AsyncClient,
    shop: Services,
    scheduler: FakeScheduler,
    path: str,
    body: dict[str, Any],
    status: int,
    error: str,
) -> None:
    media_type = BARE_JSON if path == "/api/create" else JSON
    assert told(await http.post(path, json=body)) == (status, media_type, f'{{"error":"{error}"}}')
    assert scheduler.asked == [], "nothing is loaded for it"


@pytest.mark.parametrize("path", [GENERATE, CHAT, EMBED, SHOW])
async def test_e5_a_body_is_needed(http: httpx.AsyncClient, path: str) -> None:
    assert told(await http.post(path)) == (400, JSON, '{"error":"missing request body"}')


@pytest.mark.parametrize(("path", "body"), [(GENERATE, ASK), (CHAT, TALK)])
async def test_e15_what_cannot_think_may_be_told_not_to(
    http: httpx.AsyncClient, shop: Services, path: str, body: dict[str, Any]
) -> None:
    assert (await http.post(path, json=body | {"think": False, "_debug_render_only": True})).status_code == 200


async def test_e16_what_is_let_pass(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[say("a"), RunnerFailed("enough", 400)]]
    options = {"top_k": 12.9, "seed": None, "low_vram": True, "Temperature": "hot"}
    assert (await http.post(GENERATE, json=ASK | {"options": options})).status_code == 200
    sampling = scheduler.runner.asked[0].get("sampling")
    assert sampling is not None
    assert (sampling.top_k, sampling.seed, sampling.temperature) == (12, -1, 0.8)


async def test_e19_a_format_that_is_none(http: httpx.AsyncClient, shop: Services) -> None:
    error = r'{"error":"invalid format: \"\\\"xml\\\"\"; expected \"json\" or a valid JSON Schema object"}'
    assert told(await http.post(CHAT, json=TALK | {"format": "xml"})) == (500, BARE_JSON, error)


async def test_e33_an_input_that_may_not_be_cut(
    http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler
) -> None:
    text = "the input length exceeds the context length"
    scheduler.runner.embedded = RunnerFailed(text, 400)
    answer = await http.post(EMBED, json={"model": "mini-embed", "input": "x " * 300, "truncate": False})
    assert told(answer) == (400, JSON, f'{{"error":"{text}"}}')
    assert scheduler.runner.embeds[0].get("truncate") is False


async def test_e44_the_engine_dies_in_the_middle(
    http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler
) -> None:
    scheduler.runner.script = [[say("Once"), say(" upon"), RunnerDied(streamed=True)]]
    assert told(await http.post(CHAT, json=TALK)) == (
        200,
        NDJSON,
        (
            '{"model":"demo","created_at":T,"message":{"role":"assistant","content":"Once"},"done":false}\n'
            '{"model":"demo","created_at":T,"message":{"role":"assistant","content":" upon"},"done":false}\n'
            '{"error":"an error was encountered while running the model: unexpected EOF"}\n'
        ),
    )


async def test_e46_a_prompt_too_long_without_shift(
    http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler
) -> None:
    scheduler.runner.script = [[RunnerFailed(PROMPT_TOO_LONG, 400)]]
    body = ASK | {"raw": True, "shift": False, "options": {"num_ctx": 128}}
    assert told(await http.post(GENERATE, json=body)) == (
        400,
        BARE_JSON,
        (
            '{"error":"the prompt is longer than the context length currently available to the model; '
            'shorten the prompt, adjust the context length in settings, or use a model with a longer context length"}'
        ),
    )
    asked = scheduler.runner.asked[0]
    assert (asked.get("shift"), asked.get("truncate"), scheduler.asked[0].options.num_ctx) == (False, True, 128)


@pytest.mark.parametrize(("adds_bos", "left"), [(False, 66), (True, 67)])
def test_e46_with_shift_it_is_cut(adds_bos: bool, left: int) -> None:
    assert cut_length(128, kept_tokens(4, 500, 128, adds_bos=adds_bos)) == left


@pytest.mark.parametrize(("path", "body"), [(GENERATE, ASK), (CHAT, TALK), (EMBED, {"model": "mini-embed"})])
async def test_e47_too_many_wait(
    http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler, path: str, body: dict[str, Any]
) -> None:
    scheduler.refusal = QueueFull(1)
    text = "server busy, please try again.  maximum pending requests exceeded"
    assert told(await http.post(path, json=body)) == (503, JSON, f'{{"error":"{text}"}}')


async def test_e49_a_template_that_is_none(http: httpx.AsyncClient, shop: Services) -> None:
    error = '{"error":"template error: template: :1: unclosed action"}'
    body = {"model": "x", "from": "demo", "template": "{{ .Prompt"}
    assert told(await http.post("/api/create", json=body | {"stream": False})) == (400, BARE_JSON, error)
    *_, last = (await http.post("/api/create", json=body)).text.splitlines()
    assert last == error
