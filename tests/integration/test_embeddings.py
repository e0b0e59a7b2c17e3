"""Vectors and scores of the real engine, and how both are asked for over HTTP."""

import asyncio
import gzip
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from scheduler import frames
from tests.integration.daemon import MODELS, Daemon
from tests.integration.minilm import Unavailable, minilm
from tests.integration.runner import GREEDY, Answers, Runner, load
from tools.models.bert_to_gguf import Checkpoint, write_gguf
from tools.models.random_bert import Bert, random_bert
from tools.models.tiny_rank import WORDS

CLOSE = 1e-5
"""How far a value may be from that of the same text alone."""


def expected(name: str) -> Any:
    return json.loads(gzip.decompress((MODELS / name).read_bytes()))


def embedder(model: str | Path, **changes: Any) -> Runner:
    settings: dict[str, Any] = {"num_ctx": 512, "embedding": True, **changes}
    return Runner(load(str(model), **settings))


def vectors(runner: Runner, *texts: str, **fields: Any) -> NDArray[np.float32]:
    found = runner.ask(frames.Embed(1, list(texts), encoding="float32", **fields))
    assert isinstance(found, frames.Embedded), found
    return np.stack([np.frombuffer(vector, "<f4") for vector in found.vectors])


def sentences(count: int, *, longest: int = 60) -> list[str]:
    """Of all lengths, seeded."""
    chance = random.Random(5)
    return [" ".join(chance.choices(WORDS, k=chance.randint(0, longest))) for _ in range(count)]


def assert_at_once_as_alone(runner: Runner, texts: list[str]) -> None:
    together = vectors(runner, *texts)
    alone = np.concatenate([vectors(runner, text) for text in texts])
    assert np.abs(together - alone).max() < CLOSE


@pytest.fixture(scope="module")
def tinyembed() -> Iterator[Runner]:
    runner = embedder("tinyembed-random-f16.gguf")
    yield runner
    assert runner.close() == 0


class TestTinyembed:
    def test_vectors_are_those_of_the_reference(self, tinyembed: Runner) -> None:
        reference = expected("tinyembed_expected.json.gz")["sentences"]
        found = vectors(tinyembed, *(one["text"] for one in reference))
        assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
        assert found[:, :8] == pytest.approx(np.array([one["first8_normalised"] for one in reference]), abs=2e-3)

    def test_256_at_once_are_as_each_alone(self, tinyembed: Runner) -> None:
        assert_at_once_as_alone(tinyembed, sentences(256))

    def test_and_whatever_the_number_of_cores(self, tinyembed: Runner) -> None:
        texts = sentences(64)
        several = embedder("tinyembed-random-f16.gguf", num_thread=3)
        assert np.abs(vectors(several, *texts) - vectors(tinyembed, *texts)).max() < CLOSE
        several.close()

    def test_requests_at_once_get_their_own_vectors(self, tinyembed: Runner) -> None:
        texts = sentences(40)
        for id, text in enumerate(texts):
            tinyembed.send(frames.Embed(10 + id, [text, text], encoding="float32"))
        found: dict[int, list[bytes]] = {}
        while len(found) < len(texts):
            report = tinyembed.next()
            assert isinstance(report, frames.Embedded)
            found[report.id - 10] = report.vectors
        alone = vectors(tinyembed, *texts)
        for id, both in found.items():
            assert max(np.abs(np.frombuffer(one, "<f4") - alone[id]).max() for one in both) < CLOSE

    def test_dimensions_shorten_and_normalise(self, tinyembed: Runner) -> None:
        whole, short = vectors(tinyembed, "a text")[0], vectors(tinyembed, "a text", dimensions=8)[0]
        assert short == pytest.approx(whole[:8] / np.linalg.norm(whole[:8]), abs=1e-5)

    def test_a_text_longer_than_the_context(self, tinyembed: Runner) -> None:
        text = "word " * 400
        refused = tinyembed.ask(frames.Embed(1, [text], truncate=False))
        assert refused == frames.Failed(1, "the input length exceeds the context length", 400)
        cut = tinyembed.ask(frames.Embed(2, [text]))
        assert isinstance(cut, frames.Embedded)
        assert cut.prompt_tokens == 256

    def test_a_model_without_a_head_ranks_nothing(self, tinyembed: Runner) -> None:
        refused = tinyembed.ask(frames.Rank(9, "a", ["b"]))
        assert refused == frames.Failed(9, "this model has no ranking head: it cannot score documents", 400)
        assert isinstance(tinyembed.loaded, frames.Loaded)
        assert not tinyembed.loaded.ranks


class TestRandomBert:
    """One whose forward pass is computed in numpy."""

    @staticmethod
    def model(pooling: gguf.PoolingType = gguf.PoolingType.MEAN) -> Checkpoint:
        return random_bert(WORDS, seed=3, width=96, heads=3, layers=3, positions=128, pooling=pooling)

    def test_256_at_once_are_as_each_alone(self, tmp_path: Path) -> None:
        write_gguf(self.model(), tmp_path / "bert.gguf", "random")
        runner = embedder(tmp_path / "bert.gguf")
        assert_at_once_as_alone(runner, sentences(256, longest=140))
        runner.close()

    @pytest.mark.parametrize("pooling", ["NONE", "MEAN", "CLS", "LAST"])
    def test_each_pooling(self, tmp_path: Path, pooling: str) -> None:
        model = self.model(gguf.PoolingType[pooling])
        write_gguf(model, tmp_path / "bert.gguf", "random", full=True)
        runner = embedder(tmp_path / "bert.gguf")
        texts = ["the cat sits on the mat .", "why is the sky red ?", " ".join(WORDS)]
        found = vectors(runner, *texts)
        for text, vector in zip(texts, found, strict=True):
            states = Bert(model).states([model.vocabulary.index(word) for word in f"[CLS] {text} [SEP]".split()])
            wanted = {"MEAN": states.mean(0), "CLS": states[0], "LAST": states[-1], "NONE": states[-1]}[pooling]
            assert vector @ wanted / np.linalg.norm(wanted) == pytest.approx(1, abs=1e-4)
        assert_at_once_as_alone(runner, texts)
        runner.close()


@pytest.fixture(scope="module")
def tinyrank() -> Iterator[Runner]:
    runner = embedder("tinyrank-f16.gguf")
    yield runner
    runner.close()


class TestRanking:
    def test_scores_are_those_of_the_reference(self, tinyrank: Runner) -> None:
        assert isinstance(tinyrank.loaded, frames.Loaded)
        assert tinyrank.loaded.ranks
        for one in expected("tinyrank_expected.json.gz")["queries"]:
            found = tinyrank.ask(frames.Rank(1, one["query"], one["documents"]))
            assert isinstance(found, frames.Ranked)
            assert found.scores == pytest.approx(one["scores"], abs=5e-3)
            assert found.prompt_tokens == one["tokens"]

    def test_many_documents_at_once_are_as_each_alone(self, tinyrank: Runner) -> None:
        documents = sentences(100, longest=80)
        together = tinyrank.ask(frames.Rank(1, "what is bread ?", documents))
        assert isinstance(together, frames.Ranked)
        for document, score in zip(documents, together.scores, strict=True):
            alone = tinyrank.ask(frames.Rank(2, "what is bread ?", [document]))
            assert isinstance(alone, frames.Ranked)
            assert alone.scores == pytest.approx([score], abs=CLOSE)

    def test_a_long_document_is_cut_a_long_query_is_refused(self, tinyrank: Runner) -> None:
        cut = tinyrank.ask(frames.Rank(1, "what is bread ?", ["bread " * 99]))
        assert isinstance(cut, frames.Ranked)
        assert cut.prompt_tokens == 64
        too_long = "the input length exceeds the context length"
        assert tinyrank.ask(frames.Rank(2, "a", ["b " * 99], truncate=False)) == frames.Failed(2, too_long, 400)
        assert isinstance(tinyrank.ask(frames.Rank(3, "a " * 99, ["b"])), frames.Failed)

    def test_its_vector_is_its_score(self, tinyrank: Runner) -> None:
        found = vectors(tinyrank, "bread", "cat")
        assert found.shape == (2, 1)
        assert found[0] != found[1]


@pytest.fixture(scope="module")
def tinychat() -> Iterator[Runner]:
    runner = Runner(load("tinychat-f16.gguf", num_ctx=2048))
    yield runner
    runner.close()


class TestChatModels:
    def test_a_vector_has_length_one_and_tells_texts_apart(self, tinychat: Runner) -> None:
        found = vectors(tinychat, "The capital of France is Paris.", "Paris is the capital of France.", "Tell a joke.")
        assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
        assert found[0] @ found[1] > found[0] @ found[2]
        assert_at_once_as_alone(tinychat, ["The capital of France is Paris.", "Tell a joke."])

    def test_a_text_longer_than_the_first_cache(self, tinychat: Runner) -> None:
        found = tinychat.ask(frames.Embed(1, ["Paris is a city. " * 200]))
        assert isinstance(found, frames.Embedded)
        assert 600 < found.prompt_tokens <= 2048

    def test_a_generation_in_the_only_slot_is_interrupted_unnoticed(self, tinychat: Runner) -> None:
        entry = next(one for one in expected("expected.json.gz")["tinychat-f16.gguf"]["chat"] if one.get("logprobs"))
        alone = vectors(tinychat, "Tell a joke.")
        long = frames.Generate(2, "Once upon a time", sampling=GREEDY, num_predict=150)
        plain = tinychat.run(long).text(2)
        tinychat.send(long)
        answers, found = Answers(), None
        tinychat.send(frames.Embed(3, ["Tell a joke."], encoding="float32"))
        while 2 not in answers.ends or found is None:
            report = tinychat.next()
            if isinstance(report, frames.Embedded):
                assert 2 not in answers.ends, "the text did not have to wait for the end"
                found = np.frombuffer(report.vectors[0], "<f4")
            answers.take(report)
        assert answers.text(2) == plain
        assert np.abs(found - alone[0]).max() < CLOSE
        assert tinychat.say(entry["prompt"]).strip() == entry["text"].strip()


@pytest.fixture(scope="module")
def real() -> Iterator[Runner]:
    try:
        file = minilm()
    except Unavailable as reason:
        pytest.skip(str(reason))
    runner = embedder(file)
    yield runner
    runner.close()


@pytest.mark.long
@pytest.mark.timeout(600)
class TestMiniLM:
    def test_vectors_are_those_of_the_original(self, real: Runner) -> None:
        """The reference holds the first eight values and how alike the sentences are."""
        reference = expected("minilm_expected.json.gz")
        one = reference["sentences"]
        found = vectors(real, *(sentence["text"] for sentence in one))
        assert found.shape == (len(one), reference["dimensions"])
        assert found @ found.T == pytest.approx(np.array(reference["cosine"]), abs=1e-3)
        wanted = np.array([sentence["first8_normalised"] for sentence in one])
        assert found[:, :8] == pytest.approx(wanted, abs=1e-3)
        cosines = (found[:, :8] * wanted).sum(1) / np.linalg.norm(found[:, :8], axis=1) / np.linalg.norm(wanted, axis=1)
        assert cosines.min() > 0.999
        tokens = real.ask(frames.Embed(1, [sentence["text"] for sentence in one]))
        assert isinstance(tokens, frames.Embedded)
        assert tokens.prompt_tokens == sum(len(sentence["token_ids"]) for sentence in one)

    def test_256_at_once_are_as_each_alone(self, real: Runner) -> None:
        assert_at_once_as_alone(real, sentences(256, longest=40))


@pytest.fixture(scope="module")
def served(daemon: Daemon) -> Daemon:
    daemon.add("embed", "tinyembed-random-f16.gguf")
    daemon.add("rank", "tinyrank-f16.gguf")
    daemon.add("chat", "tinychat-q8_0.gguf")
    return daemon


def ask(daemon: Daemon, path: str = "/api/embed", **body: Any) -> tuple[int, Any]:
    answer = daemon.http.post(path, json={"model": "embed", **body})
    return answer.status_code, answer.json()


LONG = "word " * 400


class TestOverHTTP:
    def test_256_texts_at_once(self, served: Daemon) -> None:
        texts = sentences(256)
        status, found = ask(served, input=texts)
        assert status == 200
        assert np.array(found["embeddings"]).shape == (256, 64)
        for index in (0, 100, 255):
            _, alone = ask(served, input=texts[index])
            assert found["embeddings"][index] == pytest.approx(alone["embeddings"][0], abs=CLOSE)

    @pytest.mark.parametrize(
        ("body", "status", "error"),
        [
            ({"input": 5}, 400, "invalid input type"),
            ({"input": ["a", 5]}, 400, "invalid input type"),
            ({"input": LONG, "truncate": False}, 400, "the input length exceeds the context length"),
            ({"input": ["a", LONG], "truncate": False}, 400, "the input length exceeds the context length"),
            ({"model": "none", "input": "a"}, 404, 'model "none" not found, try pulling it first'),
        ],
    )
    def test_what_is_refused(self, served: Daemon, body: dict[str, Any], status: int, error: str) -> None:
        assert ask(served, **body) == (status, {"error": error})

    @pytest.mark.parametrize("value", [None, "", []])
    def test_nothing_to_embed(self, served: Daemon, value: Any) -> None:
        assert ask(served, input=value) == (200, {"model": "embed", "embeddings": []})

    def test_what_is_too_long_is_cut(self, served: Daemon) -> None:
        status, found = ask(served, input=[LONG, ""])
        assert (status, found["prompt_eval_count"]) == (200, 256 + 2)

    def test_dimensions(self, served: Daemon) -> None:
        whole, short = (ask(served, input="a text", dimensions=wanted)[1]["embeddings"][0] for wanted in (99, 8))
        assert len(whole) == 64
        assert short == pytest.approx(np.array(whole[:8]) / np.linalg.norm(whole[:8]), abs=1e-6)

    def test_the_older_endpoint(self, served: Daemon) -> None:
        path = "/api/embeddings"
        _, found = ask(served, input="a text")
        status, old = ask(served, path, prompt="a text")
        assert (status, list(old)) == (200, ["embedding"])
        assert old["embedding"] == pytest.approx(found["embeddings"][0], abs=1e-6)
        assert ask(served, path) == (200, {"embedding": []})
        too_long = {"error": "the input length exceeds the context length"}
        assert ask(served, path, prompt=LONG) == (500, too_long)

    def test_a_chat_model(self, served: Daemon) -> None:
        status, found = ask(served, model="chat", input=["Hello!", "Good morning!"])
        assert status == 200
        assert np.linalg.norm(found["embeddings"], axis=1) == pytest.approx(1, abs=1e-5)

    def test_a_client_that_hangs_up_is_not_computed_for(self, served: Daemon) -> None:
        """Of many whole requests that are given up, the next one does not wait for."""

        async def hang_up() -> None:
            async with httpx.AsyncClient(base_url=served.base, timeout=60, trust_env=False) as client:
                request = client.post("/api/embed", json={"model": "embed", "input": sentences(2000)})
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(request, 0.05)

        async def all_of_them() -> None:
            await asyncio.gather(*(hang_up() for _ in range(4)))

        asyncio.run(all_of_them())
        assert ask(served, input="a text")[0] == 200

    def test_a_runner_that_dies_under_a_request(self, served: Daemon) -> None:
        assert ask(served, input="a text")[0] == 200

        async def killed(path: str, **body: Any) -> httpx.Response:
            async with httpx.AsyncClient(base_url=served.base, timeout=60, trust_env=False) as client:
                text = asyncio.ensure_future(client.post(path, json={"model": "embed", **body}))
                await asyncio.sleep(0.3)
                for pid in served.runners():
                    os.kill(pid, signal.SIGKILL)
                return await text

        answer = asyncio.run(killed("/api/embed", input=[" ".join(WORDS)] * 8000))
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"].startswith("model runner has unexpectedly stopped")
        assert ask(served, input="a text")[0] == 200
