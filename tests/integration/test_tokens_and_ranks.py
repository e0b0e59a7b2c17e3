"""What there is beyond Ollama's API, at real models: tokens, ranks, grammars and regular expressions."""

import asyncio
import gzip
import json
import math
import re
from typing import Any, cast

import httpx
import pytest

from tests.integration.daemon import MODELS, ROOT, Daemon
from tests.integration.hangups import Caller
from tests.integration.test_tool_choice import GO

TEXTS = [
    "",
    " ",
    "Hello, world!",
    "  two  spaces\n\n\tand a tab\r\n",
    "Grüße, Ελλάδα, Москва, 東京, 서울, עִבְרִית, हिन्दी",
    "👋🏽 👨‍👩‍👧‍👦 🇫🇷 e\u0301 \u200b\ufeff \ufffd",
    "\x00\x01\x7f\u2028",
    "<|im_start|>user\n<think></think><|im_end|>",
    "a" * 5000,
]
PATHS = ("chat", "go", "renderer")
"""The chat template of the file, a Go template, a built-in renderer."""
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {"type": "object", "required": ["city"], "properties": {"city": {"enum": ["Paris", "Rome"]}}},
    },
}
WEATHER = "What is the weather in Toronto?"
PAGE = ROOT / "docs" / "endpoints.md"


@pytest.fixture(scope="module")
def server(daemon: Daemon) -> Daemon:
    daemon.add("chat", "tinychat-f16.gguf")
    for name, more in (
        ("go", {"template": GO}),
        ("renderer", {"renderer": "qwen3-vl-thinking", "parser": "qwen3-vl-thinking"}),
    ):
        body = {"model": name, "from": "chat", "stream": False, **more}
        assert daemon.http.post("/api/create", json=body).status_code == 200
    daemon.add("rank", "tinyrank-f16.gguf")
    daemon.add("embed", "tinyembed-random-f16.gguf")
    daemon.add("begins", "families/gemma3.gguf")
    return daemon


def post(server: Daemon, path: str, **body: Any) -> dict[str, Any]:
    answer = server.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(server: Daemon, path: str, **body: Any) -> tuple[int, str]:
    answer = server.http.post(path, json=body)
    return answer.status_code, answer.json()["error"]


def tokens(server: Daemon, text: str, model: str = "chat", **more: Any) -> list[int]:
    return post(server, "/api/tokenize", model=model, prompt=text, **more)["tokens"]


def text_of(server: Daemon, ids: list[int], model: str = "chat") -> str:
    return post(server, "/api/detokenize", model=model, tokens=ids)["content"]


def loaded(server: Daemon) -> dict[str, int]:
    """Contexts of the models that are loaded."""
    rows = server.http.get("/api/ps").json()["models"]
    return {row["name"].removesuffix(":latest"): row["context_length"] for row in rows}


class TestTokens:
    @pytest.mark.parametrize("text", TEXTS)
    def test_a_text_comes_back_as_it_was(self, server: Daemon, text: str) -> None:
        ids = tokens(server, text)
        assert text_of(server, ids) == text
        assert tokens(server, text, add_special=False) == ids, "this tokenizer adds nothing"

    def test_control_tokens_are_one_token_each(self, server: Daemon) -> None:
        assert len(tokens(server, "<|im_start|><|im_end|>")) == 2

    def test_part_of_a_character(self, server: Daemon) -> None:
        first, *_ = tokens(server, "👋")
        assert text_of(server, [first]) == "\ufffd"

    @pytest.mark.parametrize(("model", "front", "end"), [("begins", "<bos>", ""), ("embed", "[CLS]", "[SEP]")])
    def test_what_a_tokenizer_puts_around_a_text(self, server: Daemon, model: str, front: str, end: str) -> None:
        plain, special = (tokens(server, "the bread", model, add_special=wanted) for wanted in (False, True))
        assert len(special) == len(plain) + bool(front) + bool(end)
        assert text_of(server, special, model).replace(" ", "") == f"{front}thebread{end}"
        assert tokens(server, "the bread", model) == special, "which is the default"

    @pytest.mark.parametrize("token", [-1, 2560, 1 << 40])
    def test_a_token_out_of_range(self, server: Daemon, token: int) -> None:
        error = f"token {token} is not in the vocabulary of 2560"
        assert refused(server, "/api/detokenize", model="chat", tokens=[1, token]) == (400, error)

    @pytest.mark.parametrize("path", ["/api/tokenize", "/api/detokenize"])
    def test_a_model_that_is_not_there(self, server: Daemon, path: str) -> None:
        assert refused(server, path, model="nope") == (404, "model 'nope' not found")

    def test_counting_does_not_load_a_model_anew(self, server: Daemon) -> None:
        post(server, "/api/generate", model="chat", options={"num_ctx": 512})
        assert tokens(server, "Hello!") == tokens(server, "Hello!", options={"num_ctx": 256})
        assert loaded(server)["chat"] == 512

    def test_keep_alive_0_unloads(self, server: Daemon) -> None:
        tokens(server, "Hello!")
        assert "chat" in loaded(server)
        tokens(server, "Hello!", keep_alive=0)
        assert "chat" not in loaded(server)


def expected() -> list[dict[str, Any]]:
    return json.loads(gzip.decompress((MODELS / "tinyrank_expected.json.gz").read_bytes()))["queries"]


class TestRanks:
    def test_scores_are_those_of_the_reference(self, server: Daemon) -> None:
        whole, short, _ = expected()  # the last one has no query
        for one in (whole, short):
            body = {"model": "rank", "query": one["query"], "documents": one["documents"]}
            found = post(server, "/api/rerank", **body)
            wanted = {index: 1 / (1 + math.exp(-score)) for index, score in enumerate(one["scores"])}
            scores = {result["index"]: result["relevance_score"] for result in found["results"]}
            assert scores == pytest.approx(wanted, abs=2e-3)
            assert list(scores) == sorted(wanted, key=wanted.__getitem__, reverse=True)
            assert found["usage"] == {"total_tokens": one["tokens"]}
            for path in ("/v1/rerank", "/v2/rerank"):
                assert post(server, path, **body) == found

    def test_a_long_document_is_cut_and_a_long_query_is_refused(self, server: Daemon) -> None:
        found = post(server, "/api/rerank", model="rank", query="bread ?", documents=["bread " * 999, "Grüße 👋", ""])
        assert sorted(result["index"] for result in found["results"]) == [0, 1, 2]
        error = "input after truncation exceeds maximum context length"
        assert refused(server, "/api/rerank", model="rank", query="a " * 99, documents=["b"]) == (400, error)

    @pytest.mark.parametrize("model", ["chat", "embed"])
    def test_a_model_that_cannot(self, server: Daemon, model: str) -> None:
        error = f'"{model}" does not support rerank'
        assert refused(server, "/api/rerank", model=model, query="q", documents=["a"]) == (400, error)

    def test_a_client_that_hangs_up_is_not_computed_for(self, server: Daemon) -> None:
        many = {"model": "rank", "query": "bread ?", "documents": ["bread " * 50] * 500}
        callers = [Caller(server, many, "/api/rerank") for _ in range(4)]
        callers += [Caller(server, {"model": "chat", "prompt": "word " * 10_000}, "/api/tokenize") for _ in range(2)]
        for caller in callers:
            caller.hang_up(rudely=True)
        assert post(server, "/api/rerank", model="rank", query="q", documents=["a"])["usage"]["total_tokens"] > 0
        assert tokens(server, "") == []

    def test_requests_at_the_same_time_are_as_each_alone(self, server: Daemon) -> None:
        one = expected()[0]
        body = {"model": "rank", "query": one["query"], "documents": one["documents"]}
        alone = post(server, "/api/rerank", **body)

        async def together() -> list[Any]:
            async with httpx.AsyncClient(base_url=server.base, timeout=60, trust_env=False) as client:
                answers = await asyncio.gather(*(client.post("/api/rerank", json=body) for _ in range(8)))
            return [answer.json() for answer in answers]

        for found in asyncio.run(together()):
            assert found["usage"] == alone["usage"]
            for result, wanted in zip(found["results"], alone["results"], strict=True):
                assert result == {**wanted, "relevance_score": pytest.approx(wanted["relevance_score"], abs=1e-5)}


def said(server: Daemon, path: str, model: str, **members: Any) -> dict[str, str]:
    """An answer's text and reasoning, streamed or not."""
    prompt = {"prompt": WEATHER} if path == "/api/generate" else {"messages": [{"role": "user", "content": WEATHER}]}
    options = {"num_predict": 200, "num_ctx": 512, "seed": 3}
    answer = server.http.post(path, json={"model": model, "options": options, **prompt, **members})
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1]["done_reason"] == "stop"
    parts = [line.get("message", line) for line in lines]
    text = "".join(part.get("content", part.get("response", "")) for part in parts)
    return {"text": text, "thinking": "".join(part.get("thinking", "") for part in parts)}


class TestGrammars:
    @pytest.mark.parametrize("model", PATHS)
    @pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
    @pytest.mark.parametrize(
        ("members", "pattern"),
        [
            ({"regex": r"(yes|no), [0-9]{2}\n[äöü]{2}"}, r"(yes|no), [0-9]{2}\n[äöü]{2}"),
            ({"grammar": 'root ::= ("yes" | "no") ", " [0-9] tail\ntail ::= " 👋"?'}, "(yes|no), [0-9]( 👋)?"),
        ],
        ids=["regex", "grammar"],
    )
    def test_answers_conform(
        self, server: Daemon, path: str, model: str, members: dict[str, str], pattern: str
    ) -> None:
        found = said(server, path, model, stream="regex" in members, think=False, **members)
        assert re.fullmatch(pattern, found["text"])
        assert found["thinking"] == ""

    @pytest.mark.parametrize("member", [{"regex": "[0-9]{3}"}, {"grammar": "root ::= [0-9] [0-9] [0-9]"}])
    @pytest.mark.parametrize(
        ("path", "model"),
        [("/api/chat", "chat"), ("/api/chat", "go"), ("/api/chat", "renderer"), ("/api/generate", "go")],
    )
    def test_they_bind_what_comes_after_the_thoughts(
        self, server: Daemon, path: str, model: str, member: dict[str, str]
    ) -> None:
        found = said(server, path, model, think=True, **member)
        assert re.fullmatch("[0-9]{3}", found["text"])
        assert found["thinking"].strip()

    @pytest.mark.parametrize("model", PATHS)
    def test_a_regular_expression_beside_tools(self, server: Daemon, model: str) -> None:
        """Calls that conform to their schema, or the text."""
        body = {"model": model, "stream": False, "think": False, "regex": "[0-9]{3}", "tools": [TOOL]}
        body |= {"options": {"temperature": 0, "num_ctx": 512}}
        message = post(server, "/api/chat", messages=[{"role": "user", "content": WEATHER}], **body)["message"]
        calls = message.get("tool_calls", [])
        assert [call["function"]["arguments"]["city"] in ("Paris", "Rome") for call in calls] == [True] * len(calls)
        assert calls or re.fullmatch("[0-9]{3}", message["content"])

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
    @pytest.mark.parametrize(
        ("members", "error"),
        [
            ({"regex": "("}, "invalid regex: unclosed group"),
            ({"grammar": "root ::= x"}, "invalid grammar at line 1: there is no rule named x"),
            ({"grammar": "a", "format": "json"}, "format and grammar exclude each other"),
            ({"regex": "a", "format": {}}, "format and regex exclude each other"),
            ({"regex": "a", "grammar": "b"}, "grammar and regex exclude each other"),
        ],
    )
    def test_what_is_refused(
        self, server: Daemon, path: str, stream: bool, members: dict[str, Any], error: str
    ) -> None:
        said = {"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}]}
        assert refused(server, path, model="chat", stream=stream, **said, **members) == (400, error)

    def test_a_grammar_beside_tools_is_refused(self, server: Daemon) -> None:
        body = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}], "grammar": 'root ::= "a"'}
        error = "a GBNF grammar cannot be combined with tools"
        assert refused(server, "/api/chat", tools=[TOOL], **body) == (400, error)


def shape(value: Any) -> Any:
    """The value without what differs from one time to another."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [shape(member) for member in cast("list[Any]", value)]
    return type(value).__name__


def test_the_examples_of_the_page(server: Daemon) -> None:
    """They work, and those with an answer beside them have an answer of that form; tokens are exact."""
    server.http.post("/api/pull", json={"model": "tinychat", "stream": False}).raise_for_status()
    server.add("bge-reranker-v2-m3", "tinyrank-f16.gguf")
    page = PAGE.read_text()
    examples = re.findall(
        r"```sh\ncurl http://127\.0\.0\.1:11434(\S+) -d '(.*?)'\n```\n(?:\n```json\n(.*?)```)?", page, re.DOTALL
    )
    assert len(examples) == page.count("```sh") == 5
    for path, body, answer in examples:
        found = post(server, path, **json.loads(body))
        if answer:
            wanted = json.loads(answer)
            assert shape(found) == shape(wanted)
            assert [found.get(key) for key in ("tokens", "content")] == [
                wanted.get(key) for key in ("tokens", "content")
            ]
