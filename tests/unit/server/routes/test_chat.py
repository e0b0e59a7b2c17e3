"""What only /api/chat does."""

import json
from typing import Any

import httpx
import pytest

from scheduler import frames
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import FakeScheduler, done, install, say

pytestmark = pytest.mark.anyio

USER = {"role": "user", "content": "hi"}
THINKS = (
    "{{ range .Messages }}{{ .Role }}={{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }};{{ end }}"
)
NATIVE = "{{ tools }}{% for m in messages %}{{ m.content }}{% endfor %}<think></think>"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}


async def lines(http: httpx.AsyncClient, **members: Any) -> list[dict[str, Any]]:
    answer = await http.post("/api/chat", json={"model": "m", "messages": [USER], **members})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


@pytest.mark.parametrize("name", ["", " "])
async def test_a_model_is_needed(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.post("/api/chat", json={"model": name})
    assert (answer.status_code, answer.json()) == (400, {"error": "model is required"})


@pytest.mark.parametrize("stream", [True, False])
async def test_thoughts_then_the_format(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, stream: bool
) -> None:
    """One pass, bound from the end of the thoughts on."""
    install(services.store, "m", template=THINKS)
    scheduler.runner.script = [[say("<think>so", "</think>", "{}"), done(tokens=9)]]
    told = await lines(http, format={"type": "object"}, stream=stream)
    messages = [line["message"] for line in told]
    assert "".join(message.get("thinking", "") for message in messages) == "so"
    assert "".join(message["content"] for message in messages) == "{}"
    (asked,) = scheduler.runner.asked
    constraint = asked.get("constraint")
    assert constraint == frames.Constraint("json_schema", '{"type":"object"}', ["</think>"], "<think>")
    assert scheduler.balanced


@pytest.mark.parametrize(("member", "kind"), [("grammar", "gbnf"), ("regex", "regex")])
async def test_thoughts_then_the_grammar(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, member: str, kind: Any
) -> None:
    """Only a format makes the reference count the thoughts as prompt."""
    install(services.store, "m", template=THINKS)
    scheduler.runner.script = [[say("<think>so", "</think>", "yes"), done(tokens=9)]]
    *_, last = told = await lines(http, **{member: "source"})
    assert "".join(line["message"]["content"] for line in told) == "yes"
    assert (last["prompt_eval_count"], last["eval_count"]) == (5, 9)
    (asked,) = scheduler.runner.asked
    assert asked.get("constraint") == frames.Constraint(kind, "source", ["</think>"], "<think>")


@pytest.mark.parametrize("stream", [True, False])
async def test_calls_of_a_chat_template_are_in_the_last_object(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, stream: bool
) -> None:
    install(services.store, "m", tinygguf.model(tokenizer__chat_template=NATIVE))
    scheduler.runner.script = [[say('{"name":"f",', '"arguments":{"b":1,"a":2}}'), done()]]
    (line,) = await lines(http, tools=[TOOL], stream=stream)
    assert (line["done"], line["done_reason"]) == (True, "stop")
    (call,) = line["message"]["tool_calls"]
    assert len(call["id"]) == 32
    assert call["function"] == {"index": 0, "name": "f", "arguments": {"b": 1, "a": 2}}
    assert list(call["function"]["arguments"]) == ["b", "a"]
    assert list(line["message"]) == ["role", "content", "tool_calls"]
