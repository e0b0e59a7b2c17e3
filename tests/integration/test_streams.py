"""Clients that talk at once, hang up, or lose their runner."""

import asyncio
import gzip
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.integration.daemon import MODELS, Daemon

CHAT: list[dict[str, Any]] = json.loads(gzip.decompress((MODELS / "expected.json.gz").read_bytes()))[
    "tinychat-f16.gguf"
]["chat"]
WIDE = [entry for entry in CHAT if entry.get("logprobs")]
"""Answers whose tokens win by a wide margin: rounding cannot change them."""
LONG = {"type": "array", "items": {"enum": ["one", "two", "three"]}, "minItems": 500}
"""A format that keeps the model talking."""


@pytest.fixture(scope="module")
def loaded(daemon: Daemon) -> Daemon:
    daemon.add("tinychat", "tinychat-f16.gguf")
    return daemon


def body(prompt: str, **options: Any) -> dict[str, Any]:
    return {"model": "tinychat", "prompt": prompt, "raw": True, "options": {"temperature": 0, **options}}


async def lines(client: httpx.AsyncClient, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    async with client.stream("POST", "/api/generate", json=request) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            yield json.loads(line)


def client_of(daemon: Daemon) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=daemon.base, timeout=60, trust_env=False)


def kill_runners(daemon: Daemon) -> list[int]:
    """All of them: also the one that waits in reserve."""
    killed = daemon.runners()
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    return killed


def test_eight_streams_run_side_by_side_and_say_what_each_says_alone(loaded: Daemon) -> None:
    arrivals: list[int] = []

    async def one(client: httpx.AsyncClient, number: int) -> str:
        text = ""
        async for line in lines(client, body(WIDE[number % len(WIDE)]["prompt"])):
            text += line["response"]
            arrivals.append(number)
        return text

    async def all_of_them() -> list[str]:
        async with client_of(loaded) as client:
            return await asyncio.gather(*(one(client, number) for number in range(8)))

    texts = asyncio.run(all_of_them())
    assert [text.strip() for text in texts] == [WIDE[number % len(WIDE)]["text"].strip() for number in range(8)]
    first_end = min(max(i for i, n in enumerate(arrivals) if n == number) for number in range(8))
    assert len(set(arrivals[:first_end])) > 1, "one stream did not wait for the other"


def test_a_client_that_hangs_up_frees_its_place(loaded: Daemon) -> None:
    """More hang-ups than there are places, then an answer."""

    async def hang_up() -> None:
        async with client_of(loaded) as client:
            async for _ in lines(client, {**body("Once upon a time"), "format": LONG}):
                break

    for _ in range(12):
        asyncio.run(hang_up())
    answer = loaded.http.post("/api/generate", json={**body(WIDE[0]["prompt"]), "stream": False})
    assert answer.json()["response"].strip() == WIDE[0]["text"].strip()


def test_a_killed_runner_fails_only_its_requests_and_the_next_gets_a_fresh_one(loaded: Daemon) -> None:
    killed: list[int] = []

    async def kill_in_the_middle() -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []
        async with client_of(loaded) as client:
            async for line in lines(client, {**body("Once upon a time"), "format": LONG}):
                if not seen:
                    killed.extend(kill_runners(loaded))
                seen.append(line)
        return seen

    loaded.http.post("/api/generate", json={"model": "tinychat"})
    seen = asyncio.run(kill_in_the_middle())
    assert seen[0]["done"] is False
    assert "error" in seen[-1]
    assert "an error was encountered while running the model" in seen[-1]["error"]
    answer = loaded.http.post("/api/generate", json={**body(WIDE[0]["prompt"]), "stream": False})
    assert answer.json()["response"].strip() == WIDE[0]["text"].strip()
    assert not set(killed) & set(loaded.runners())


def test_an_idle_runner_that_dies_is_replaced(loaded: Daemon) -> None:
    loaded.http.post("/api/generate", json={"model": "tinychat"})
    killed = kill_runners(loaded)
    answer = loaded.http.post("/api/generate", json={**body(WIDE[0]["prompt"]), "stream": False})
    assert answer.status_code == 200
    assert not set(killed) & set(loaded.runners())


def test_prompts_and_answers_are_in_no_log(loaded: Daemon) -> None:
    """Whatever happens to a request, its text stays between client and model."""
    canary = "xyzzy-canary"
    loaded.http.post("/api/generate", json={**body(f"{canary} says"), "stream": False})
    loaded.http.post("/api/chat", json={"model": "tinychat", "messages": [{"role": "user", "content": canary}]})
    loaded.http.post("/api/generate", json={"model": "tinychat", "prompt": canary, "options": {"stop": 5}})
    loaded.http.post("/api/generate", json={"model": "tinychat", "prompt": canary, "format": {"type": canary}})
    loaded.http.post("/api/embed", json={"model": "tinychat", "input": canary * 2000, "truncate": False})
    loaded.http.post("/api/chat", content=f'{{"model": "tinychat", "messages": [{{"content": "{canary}')
    assert not [line for line in loaded.log if canary in line]
