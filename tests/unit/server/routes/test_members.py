"""Members of requests for text, each on its way from JSON to the scheduler and the runner."""

import base64
import dataclasses
import json
from typing import Any

import httpx
import msgspec
import pytest

from modelstore.options import OPTIONS
from scheduler.requests import FOREVER, LoadOptions
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import FakeScheduler, done, install

pytestmark = pytest.mark.anyio

GENERATE, CHAT = "/api/generate", "/api/chat"
THINKS = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}"


@pytest.fixture
def asked(http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler) -> "Asked":
    install(services.store, "m")
    return Asked(http, scheduler)


class Asked:
    """Sends requests that succeed, and tells what became of them."""

    def __init__(self, http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
        self._http = http
        self._scheduler = scheduler

    async def runner(self, path: str = GENERATE, **members: Any) -> dict[str, Any]:
        """The fields of the generation, and of the lease under `load`, `keep_alive`, `load_shift`."""
        self._scheduler.runner.script = [[done("a")]]
        text = {"prompt": "hi"} if path == GENERATE else {"messages": [{"role": "user", "content": "hi"}]}
        answer = await self._http.post(path, json={"model": "m", **text, **members})
        assert answer.status_code == 200, answer.text
        lease = self._scheduler.asked[-1]
        return {
            **self._scheduler.runner.asked[-1],
            "load": lease.options,
            "keep_alive": lease.keep_alive,
            "load_shift": lease.shift,
        }


OPTION_VALUES: dict[str, Any] = {
    "num_ctx": 2048,
    "num_batch": 64,
    "num_gpu": 3,
    "main_gpu": 1,
    "use_mmap": False,
    "use_mlock": True,
    "num_thread": 2,
    "draft_num_predict": 5,
    "num_keep": 7,
    "seed": 42,
    "num_predict": 9,
    "top_k": 20,
    "top_p": 0.5,
    "min_p": 0.25,
    "typical_p": 0.75,
    "repeat_last_n": 33,
    "temperature": 0.5,
    "repeat_penalty": 1.25,
    "presence_penalty": 1.5,
    "frequency_penalty": 1.0,
    "mirostat": 2,
    "mirostat_tau": 4.0,
    "mirostat_eta": 0.5,
    "stop": ["END", "\n"],
    "logit_bias": {"5": -1.0, "a": 2.0},
}


def test_every_option_is_tried() -> None:
    assert set(OPTION_VALUES) == set(OPTIONS)


@pytest.mark.parametrize("path", [GENERATE, CHAT])
@pytest.mark.parametrize("name", OPTIONS)
async def test_each_option_gets_where_it_has_an_effect(asked: Asked, path: str, name: str) -> None:
    """One of three places, and no other option changes with it."""
    before, after = [flat(await asked.runner(path, options=options)) for options in ({}, {name: OPTION_VALUES[name]})]
    expected = [(5, -1.0), ("a", 2.0)] if name == "logit_bias" else OPTION_VALUES[name]
    assert {key: value for key, value in after.items() if before[key] != value} == {name: expected}


def flat(fields: dict[str, Any]) -> dict[str, Any]:
    """All that options may change, by the name of the option."""
    return {
        **{name: fields[name] for name in ("num_predict", "num_keep", "stop")},
        **msgspec.structs.asdict(fields["sampling"]),
        **dataclasses.asdict(fields["load"]),
    }


async def test_the_defaults_of_the_table(asked: Asked) -> None:
    fields = await asked.runner()
    sampling = msgspec.structs.asdict(fields["sampling"])
    expected = {
        "seed": -1, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "typical_p": 1.0, "repeat_last_n": 64, "temperature": 0.8,
        "repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
    }  # fmt: skip
    assert {name: sampling[name] for name in expected} == expected
    assert (fields["num_predict"], fields["num_keep"], fields["stop"]) == (-1, 4, [])
    assert fields["load"] == LoadOptions(num_gpu=-1)


@pytest.mark.parametrize("path", [GENERATE, CHAT])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("null", None), ("10", 10.0), ("42.5", 42.5), ("1e-9", 1e-9), ("1.9e-9", 1e-9), ("-1", FOREVER),
        ("-0.5", FOREVER), ("1e10", FOREVER), ('"5m"', 300.0), ('"1h30m"', 5400.0), ('"1.5h"', 5400.0),
        ('"300ms"', 0.3), ('"2us"', 2e-6), ('"2µs"', 2e-6), ('"7ns"', 7e-9), ('"-1m"', FOREVER), ('"+1s"', 1.0),
    ],
)  # fmt: skip
async def test_how_long_the_model_stays(asked: Asked, path: str, value: str, seconds: float | None) -> None:
    assert (await asked.runner(path, keep_alive=json.loads(value)))["keep_alive"] == seconds


@pytest.mark.parametrize("value", ["0", "0.0", "-0.0", "1e-10", '"0"', '"+0"', '"-0"', '"0s"', '"0h0m"'])
async def test_no_time_at_all(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, value: str
) -> None:
    """Unloads where there is nothing to do, and is passed on where there is."""
    install(services.store, "m")
    for path in (GENERATE, CHAT):
        answer = await http.post(path, json={"model": "m", "keep_alive": json.loads(value)})
        assert answer.json()["done_reason"] == "unload"
    assert await Asked(http, scheduler).runner(keep_alive=json.loads(value)) | {"keep_alive": 0} == await Asked(
        http, scheduler
    ).runner(keep_alive=0)


@pytest.mark.parametrize("path", [GENERATE, CHAT])
@pytest.mark.parametrize("members", [{}, {"truncate": None, "shift": None}])
async def test_cutting_and_shifting_are_for_the_asking(
    asked: Asked, services: Services, path: str, members: dict[str, None]
) -> None:
    """Unsaid, a prompt is cut, and the scheduler knows which models slide."""
    install(services.store, "m", template="{{ .Prompt }}")
    fields = await asked.runner(path, **members)
    assert (fields["truncate"], fields["shift"], fields["load_shift"]) == (True, True, None)


@pytest.mark.parametrize("path", [GENERATE, CHAT])
@pytest.mark.parametrize("truncate", [True, False])
@pytest.mark.parametrize("shift", [True, False])
async def test_cutting_and_shifting(
    asked: Asked, services: Services, path: str, *, truncate: bool, shift: bool
) -> None:
    install(services.store, "m", template="{{ .Prompt }}")
    fields = await asked.runner(path, truncate=truncate, shift=shift)
    assert (fields["truncate"], fields["shift"], fields["load_shift"]) == (truncate, shift, shift)


async def test_a_chat_in_the_template_of_the_weights_is_never_cut_by_tokens(asked: Asked) -> None:
    assert (await asked.runner(CHAT, truncate=True))["truncate"] is False


@pytest.mark.parametrize("path", [GENERATE, CHAT])
@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        ({}, None),
        ({"top_logprobs": 5}, None),
        ({"logprobs": False, "top_logprobs": 5}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 20}, 20),
    ],
)
async def test_log_probabilities(asked: Asked, path: str, sent: dict[str, Any], wanted: int | None) -> None:
    assert (await asked.runner(path, **sent))["logprobs"] == wanted


@pytest.mark.parametrize(
    ("sent", "demanded"),
    [
        ("null", None),
        ('""', None),
        ('"json"', '{"type":"object"}'),
        ("{}", "{}"),
        ('{"type": "array",\n "items": {"z": 1, "a": 2}}', '{"type": "array",\n "items": {"z": 1, "a": 2}}'),
    ],
)
async def test_formats(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, sent: str, demanded: str | None
) -> None:
    """A schema gets to the engine to the letter, its members in their order."""
    install(services.store, "m")
    for path, text in ((GENERATE, '"prompt":"hi"'), (CHAT, '"messages":[{"role":"user","content":"hi"}]')):
        scheduler.runner.script = [[done("a")]]
        answer = await http.post(path, content=f'{{"model":"m",{text},"format": {sent} }}')
        assert answer.status_code == 200
        constraint = scheduler.runner.asked[-1].get("constraint")
        assert (constraint and constraint.source) == demanded


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ("5", r'"5"'),
        ("true", r'"true"'),
        ("[1, 2]", r'"[1, 2]"'),
        ('"JSON"', r'"\"JSON\""'),
        ('"a\\nb"', r'"\"a\\nb\""'),
    ],
)
async def test_what_is_no_format(http: httpx.AsyncClient, services: Services, sent: str, error: str) -> None:
    """It is quoted as it was sent."""
    install(services.store, "m")
    answer = await http.post(GENERATE, content=f'{{"model":"m","prompt":"x","format":{sent},"stream":false}}')
    text = f'invalid format: {error}; expected "json" or a valid JSON Schema object'
    assert (answer.status_code, answer.json()) == (500, {"error": text})


SEES = tinygguf.model(vision__block_count=1)


@pytest.mark.parametrize(
    ("image", "data"),
    [("YWJj", b"abc"), ("YW\nJj", b"abc"), ("YW\r\nJj\r\n", b"abc"), (None, b""), ("", b"")],
)
async def test_pictures(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, image: str | None, data: bytes
) -> None:
    """Line breaks are tolerated, and null is a picture of no bytes."""
    install(services.store, "m", SEES, template="{{ .Prompt }}")
    fields = await Asked(http, scheduler).runner(images=[image])
    assert fields["images"] == [data]
    fields = await Asked(http, scheduler).runner(
        CHAT, messages=[{"role": "user", "content": "hi", "images": [image, base64.b64encode(b"b").decode()]}]
    )
    assert fields["images"] == [data, b"b"]


@pytest.mark.parametrize("path", [GENERATE, CHAT])
@pytest.mark.parametrize(
    ("think", "prompt_thinks"), [(None, True), (True, True), ("low", True), ("max", True), (False, False)]
)
async def test_thinking_is_on_unless_it_is_off(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, path: str, think: Any, prompt_thinks: bool
) -> None:
    """Off, the tags stay in the text."""
    install(services.store, "m", template=THINKS)
    scheduler.runner.script = [[done("<think>so</think>yes")]]
    text = {"prompt": "hi"} if path == GENERATE else {"messages": [{"role": "user", "content": "hi"}]}
    answer = (await http.post(path, json={"model": "m", "think": think, "stream": False, **text})).json()
    said = answer.get("message", answer)
    content = said.get("content", said.get("response"))
    expected = ("so", "yes") if prompt_thinks else (None, "<think>so</think>yes")
    assert (said.get("thinking"), content) == expected


@pytest.mark.parametrize("path", [GENERATE, CHAT])
@pytest.mark.parametrize("reason", ["stop", "length"])
async def test_the_reason_of_the_end_is_only_in_the_last_object(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, path: str, reason: str
) -> None:
    install(services.store, "m")
    scheduler.runner.script = [[done("a", reason=reason)]]
    text = {"prompt": "hi"} if path == GENERATE else {"messages": [{"role": "user", "content": "hi"}]}
    answer = await http.post(path, json={"model": "m", **text})
    assert [json.loads(line).get("done_reason") for line in answer.content.splitlines()] == [None, reason]


async def test_durations_that_are_nothing_are_left_out(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler
) -> None:
    install(services.store, "m")
    scheduler.runner.script = [[done("a", prompt=0, tokens=0)]]
    last = (await http.post(GENERATE, json={"model": "m", "prompt": "hi", "stream": False})).json()
    assert list(last)[-4:] == ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"]
