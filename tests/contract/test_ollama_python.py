# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (the client's own annotations are partial)
"""The official Python client, unchanged."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import ollama
import pytest

from tests.integration.daemon import MODELS, Daemon

EXPECTED: list[dict[str, Any]] = json.loads(gzip.decompress((MODELS / "expected.json.gz").read_bytes()))[
    "tinychat-f16.gguf"
]["chat"]
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[ollama.Client]:
    with ollama.Client(host=daemon.base) as client:
        yield client


def entry(label: str) -> dict[str, Any]:
    return next(entry for entry in EXPECTED if entry["label"] == label)


def test_chat_says_what_the_model_was_trained_to_say(client: ollama.Client) -> None:
    hello = entry("hello")
    answer = client.chat("tinychat", messages=hello["messages"], options=GREEDY, think=None)
    assert answer.done
    assert answer.done_reason == "stop"
    assert answer.message.role == "assistant"
    assert answer.prompt_eval_count
    assert answer.eval_count


def test_generate_raw_is_greedy_to_the_letter(client: ollama.Client) -> None:
    for one in EXPECTED:
        answer = client.generate(
            "tinychat", prompt=one["prompt"], raw=True, options={**GREEDY, "num_predict": len(one["ids"]) + 4}
        )
        assert (answer.response or "").strip() == one["text"].strip(), one["label"]
        assert answer.prompt_eval_count == one["prompt_tokens"]


def test_streamed_pieces_add_up_to_the_whole(client: ollama.Client) -> None:
    hello = entry("hello")
    whole = client.generate("tinychat", prompt=hello["prompt"], raw=True, options=GREEDY)
    pieces = list(client.generate("tinychat", prompt=hello["prompt"], raw=True, options=GREEDY, stream=True))
    assert "".join(piece.response or "" for piece in pieces) == whole.response
    assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert len(pieces) > 3, "text arrives as it is made"


def test_a_conversation_remembers(client: ollama.Client) -> None:
    messages: list[dict[str, str]] = [{"role": "user", "content": "My name is Zoe."}]
    first = client.chat("tinychat", messages=messages, options=GREEDY, think=False)
    messages += [
        {"role": "assistant", "content": first.message.content or ""},
        {"role": "user", "content": "What is my name?"},
    ]
    second = client.chat("tinychat", messages=messages, options=GREEDY, think=False)
    assert "Zoe" in (second.message.content or "")


SUM = [{"role": "user", "content": "What is 27 + 45?"}]


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_comes_apart_from_the_answer(client: ollama.Client, stream: bool) -> None:
    """And not at all where it is switched off."""
    for think in (True, False):
        fields: dict[str, Any] = {"messages": SUM, "options": GREEDY, "think": think}
        answered = client.chat("tinychat", **fields, stream=True) if stream else [client.chat("tinychat", **fields)]
        pieces = [piece.message for piece in answered]
        thinking = "".join(piece.thinking or "" for piece in pieces)
        content = "".join(piece.content or "" for piece in pieces)
        assert bool(thinking) is think
        assert content.strip()
        assert "think>" not in thinking + content
        if stream and think:
            first = next(at for at, piece in enumerate(pieces) if piece.content)
            assert not any(piece.thinking for piece in pieces[first + 1 :]), "reasoning comes first"


def test_a_function_is_called_and_its_result_is_answered_from(client: ollama.Client) -> None:
    def get_temperature(city: str) -> str:
        """Get the temperature in a city.

        Args:
            city: The city

        Returns:
            Degrees
        """
        return json.dumps({"temperature": len(city) + 10})

    messages: list[Any] = [{"role": "user", "content": "What is the temperature in Paris?"}]
    answer = client.chat("tinychat", messages=messages, tools=[get_temperature], options=GREEDY, think=False)
    assert answer.message.tool_calls
    call = answer.message.tool_calls[0].function
    assert (call.name, dict(call.arguments)) == ("get_temperature", {"city": "Paris"})

    result = get_temperature(**call.arguments)
    messages += [answer.message, {"role": "tool", "tool_name": call.name, "content": result}]
    final = client.chat("tinychat", messages=messages, tools=[get_temperature], options=GREEDY, think=False)
    assert not final.message.tool_calls
    assert "Paris" in (final.message.content or "")
    assert "15 degrees" in (final.message.content or "")


def test_a_format_is_obeyed(client: ollama.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"enum": ["Toronto", "Rome"]}},
        "required": ["name", "age", "city"],
    }
    question = "Zoe is 31 years old and lives in Toronto. Answer in JSON with the keys name, age and city."
    answer = client.chat(
        "tinychat", messages=[{"role": "user", "content": question}], format=schema, options=GREEDY, think=False
    )
    assert json.loads(answer.message.content or "") == {"name": "Zoe", "age": 31, "city": "Toronto"}
    thought = client.chat(
        "tinychat", messages=[{"role": "user", "content": question}], format=schema, options=GREEDY, think=True
    )
    assert thought.message.thinking
    assert set(json.loads(thought.message.content or "")) == {"name", "age", "city"}


def test_embeddings(client: ollama.Client, daemon: Daemon) -> None:
    daemon.add("tinyembed", "tinyembed-random-f16.gguf")
    several = client.embed("tinyembed", input=["The cat sits on the mat.", "A kitten is resting on a rug."])
    assert [len(vector) for vector in several.embeddings] == [64, 64]
    assert sum(x * x for x in several.embeddings[0]) == pytest.approx(1, abs=1e-5)
    old = client.embeddings("tinyembed", prompt="The cat sits on the mat.")
    assert list(old.embedding) == pytest.approx(list(several.embeddings[0]), abs=1e-3)


def test_create_list_show_copy_delete(client: ollama.Client) -> None:
    data = (MODELS / "bare.gguf").read_bytes()
    digest = client.create_blob(MODELS / "bare.gguf")
    assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    states = [
        event.status
        for event in client.create("tmp-bare", files={"bare.gguf": digest}, system="Be brief.", stream=True)
    ]
    assert states[-1] == "success"
    shown = client.show("tmp-bare")
    assert shown.details is not None
    assert shown.details.family == "llama"
    assert shown.modelinfo
    client.copy("tmp-bare", "tmp-copy")
    names = {model.model for model in client.list().models}
    assert {"tmp-bare:latest", "tmp-copy:latest", "tinychat:latest"} <= names
    for name in ("tmp-bare", "tmp-copy"):
        client.delete(name)
    with pytest.raises(ollama.ResponseError, match="not found") as missing:
        client.show("tmp-copy")
    assert missing.value.status_code == 404


def test_a_loaded_model_is_listed_and_can_be_unloaded(client: ollama.Client) -> None:
    client.generate("tinychat", prompt="", keep_alive="5m")
    running = client.ps().models
    assert "tinychat:latest" in {model.model for model in running}
    client.generate("tinychat", prompt="", keep_alive=0)


def test_pull_of_the_bundled_model(client: ollama.Client) -> None:
    client.copy("tinychat", "tinychat-kept")
    events = list(client.pull("tinychat", stream=True))
    assert events[0].status == "pulling manifest"
    assert events[-1].status == "success"
    client.copy("tinychat-kept", "tinychat")


def test_an_unknown_model_is_a_404(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as missing:
        client.chat("no-such-model", messages=[{"role": "user", "content": "x"}])
    assert missing.value.status_code == 404


@pytest.mark.anyio
async def test_the_asynchronous_client(daemon: Daemon) -> None:
    hello = entry("hello")
    text = ""
    async with ollama.AsyncClient(host=daemon.base) as client:
        async for piece in await client.generate(
            "tinychat", prompt=hello["prompt"], raw=True, options=GREEDY, stream=True
        ):
            text += piece.response or ""
        vectors = await client.embed("tinychat", input="a text")
        running = await client.ps()
    assert text.strip() == hello["text"].strip()
    assert len(vectors.embeddings) == 1
    assert running.models


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
