"""What only /api/generate does."""

import json

import httpx
import pytest

from scheduler import frames
from server.services import Services
from tests.unit.server.fakes import FakeScheduler, done, install, say

pytestmark = pytest.mark.anyio

THINKS = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}"


async def test_a_missing_name_is_a_missing_model(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/generate", json={})
    assert (answer.status_code, answer.json()) == (404, {"error": "model '' not found"})


async def test_the_format_binds_the_whole_answer(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler
) -> None:
    """Thoughts included, as in the reference: there is one pass."""
    install(services.store, "m", template=THINKS)
    scheduler.runner.script = [[say("<think>so</think>{}"), done()]]
    answer = await http.post("/api/generate", json={"model": "m", "prompt": "hi", "format": "json", "stream": False})
    assert (answer.json()["thinking"], answer.json()["response"]) == ("so", "{}")
    (asked,) = scheduler.runner.asked
    assert asked.get("constraint") == frames.Constraint("json_schema", '{"type":"object"}')


@pytest.mark.parametrize("think", [True, False])
async def test_a_grammar_binds_what_comes_after_the_thoughts(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, think: bool
) -> None:
    """The response conforms, however the model thinks; the counts are as they were counted."""
    install(services.store, "m", template=THINKS)
    scheduler.runner.script = [[say("<think>so</think>12"), done(tokens=9)]]
    body = {"model": "m", "prompt": "hi", "regex": "[0-9]+", "stream": False, "think": think}
    answer = (await http.post("/api/generate", json=body)).json()
    assert answer["response"] == ("12" if think else "<think>so</think>12")
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (5, 9)
    after, opening = (["</think>"], "<think>") if think else ([], "")
    assert scheduler.runner.asked[0].get("constraint") == frames.Constraint("regex", "[0-9]+", after, opening)


async def test_a_grammar_of_a_wrong_type(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/generate", json={"model": "m", "grammar": 1})
    text = "json: cannot unmarshal number into Go struct field GenerateRequest.grammar of type string"
    assert (answer.status_code, answer.json()) == (400, {"error": text})


async def test_the_context_is_in_the_last_object(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler
) -> None:
    install(services.store, "m")
    scheduler.runner.script = [[say("a"), done(context=[1, 2])]]
    answer = await http.post("/api/generate", json={"model": "m", "prompt": "hi", "context": [65]})
    *_, last = map(json.loads, answer.content.splitlines())
    assert last["context"] == [1, 2]
    assert scheduler.runner.asked[0]["prompt"] == "Ahi"
