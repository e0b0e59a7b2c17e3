"""Files and requests made to break the daemon: each gets a clear answer, and a sound model answers afterwards.

Most files are refused when a model is made of them. What only the engine can see fails the load; where the engine
aborts, its runner ends and the daemon says so.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration import hostile
from tests.integration.daemon import Daemon
from tests.integration.gguffile import File
from tests.integration.runner import EXPECTED, MODELS
from tests.unit.modelstore.ggufbytes import ARRAY, STRING, U32

OPTIONS = {"num_predict": 2, "num_thread": 1}
GROUPS = (hostile.headers, hostile.tensors, hostile.keys, hostile.vocabularies)
BROKEN = {f"{group.__name__}: {kind}": data for group in GROUPS for kind, data in group()}
NEEDS_A_RUNNER = ("keys", "vocabularies")
"""Groups of which nearly every file costs the start of a process."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Without a spare: a runner that is to fail need not be waited for."""
    running = Daemon(tmp_path_factory.mktemp("home"), {"LLAMAD_SPARE_RUNNER": "0", "OLLAMA_CONTEXT_LENGTH": "512"})
    running.add("good", "bare.gguf")
    running.add("chat", "tinychat-f16.gguf")
    running.add("embed", "tinyembed-random-f16.gguf")
    yield running
    assert running.stop() == 0


@pytest.fixture(autouse=True)
def good(daemon: Daemon) -> Iterator[None]:
    """After each test the daemon serves as before."""
    yield
    answer = ask(daemon, "good")
    assert answer.status_code == 200, answer.text
    assert answer.json()["done"] is True


def ask(daemon: Daemon, model: str, **more: Any) -> httpx.Response:
    body = {"model": model, "prompt": "x y", "raw": True, "stream": False, "options": OPTIONS, **more}
    return daemon.http.post("/api/generate", json=body)


def upload(daemon: Daemon, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert daemon.http.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
    return digest


def create(daemon: Daemon, name: str, files: dict[str, bytes], **more: Any) -> httpx.Response:
    digests = {file: upload(daemon, data) for file, data in files.items()}
    return daemon.http.post("/api/create", json={"model": name, "files": digests, "stream": False, **more})


def assert_refused(daemon: Daemon, answer: httpx.Response) -> None:
    assert answer.status_code in (400, 500)
    assert len(answer.json()["error"]) > 10
    assert str(daemon.home) not in answer.text, "no path of the server"


# -- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] * kind.startswith(NEEDS_A_RUNNER)) for kind in BROKEN]
)
def test_a_broken_file_is_refused(daemon: Daemon, kind: str) -> None:
    made = create(daemon, "bad", {"bad.gguf": BROKEN[kind]})
    if made.status_code != 200:
        assert_refused(daemon, made)
        return
    assert_refused(daemon, ask(daemon, "bad"))
    assert daemon.http.request("DELETE", "/api/delete", json={"model": "bad"}).status_code == 200


@pytest.mark.parametrize("kind", dict(hostile.odd()))
def test_an_odd_file_works(daemon: Daemon, kind: str) -> None:
    assert create(daemon, "odd", {"odd.gguf": dict(hostile.odd())[kind]}).status_code == 200
    answer = ask(daemon, "odd", keep_alive=0)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", dict(hostile.not_numbers()))
def test_a_model_that_computes_no_numbers_says_so(daemon: Daemon, kind: str) -> None:
    assert create(daemon, "nan", {"nan.gguf": dict(hostile.not_numbers())[kind]}).status_code == 200
    for options in ({}, {"temperature": 0}, {"mirostat": 2}):
        answer = ask(daemon, "nan", options={**OPTIONS, **options})
        assert answer.status_code == 500, kind
        assert "not numbers" in answer.json()["error"]


@pytest.mark.parametrize(
    "kind", ["cut in the keys", "cut in the data", "9223372036854775808 tensors", "text", "nothing"]
)
def test_a_file_that_is_replaced_on_the_disk(daemon: Daemon, kind: str) -> None:
    """The header that the store has read was sound."""
    data = File.read(MODELS / "bare.gguf").set("general.name", STRING, kind).build()
    assert create(daemon, "swapped", {"swapped.gguf": data}).status_code == 200
    blob = daemon.home / ".ollama" / "models" / "blobs" / f"sha256-{hashlib.sha256(data).hexdigest()}"
    replace(blob, dict(hostile.headers())[kind])
    assert_refused(daemon, ask(daemon, "swapped"))
    replace(blob, data)
    assert ask(daemon, "swapped", keep_alive=0).status_code == 200


def replace(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.replace(path)


# -- shards and adapters ------------------------------------------------------------------------------------------


def shards() -> dict[str, bytes]:
    cut = File.read(MODELS / "tinychat-f16.gguf").shards(3)
    return {f"tinychat-{number:05}-of-00003.gguf": data for number, data in enumerate(cut, 1)}


def test_shards_are_created_as_one_model_and_answer_like_the_whole(daemon: Daemon) -> None:
    assert create(daemon, "cut", shards()).status_code == 200
    entry = EXPECTED["tinychat-f16.gguf"]["chat"][0]
    answer = ask(daemon, "cut", prompt=entry["prompt"], options={"temperature": 0, "num_thread": 1}, keep_alive=0)
    assert answer.json()["response"].strip() == entry["text"]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_missing_shards_are_noticed(daemon: Daemon, missing: int) -> None:
    files = shards()
    del files[list(files)[missing]]
    assert_refused(daemon, create(daemon, "gap", files))


def test_a_shard_that_is_there_twice(daemon: Daemon) -> None:
    files = shards()
    first, second, third = files
    assert_refused(daemon, create(daemon, "twice", {first: files[first], second: files[second], third: files[second]}))


def test_an_adapter_for_another_model_is_named_as_the_cause(daemon: Daemon) -> None:
    digest = upload(daemon, (MODELS / "tinylora-f16.gguf").read_bytes())
    body = {"model": "misfit", "from": "good", "adapters": {"lora.gguf": digest}, "stream": False}
    assert daemon.http.post("/api/create", json=body).status_code == 200
    answer = ask(daemon, "misfit")
    assert_refused(daemon, answer)
    assert "wrong base model" in answer.json()["error"]


# -- filling in ---------------------------------------------------------------------------------------------------


def test_a_gap_is_filled_with_the_marks_of_the_vocabulary_where_the_template_has_none(daemon: Daemon) -> None:
    body = {"model": "fills", "from": "chat", "template": "{{ .Prompt }}", "info": {"capabilities": ["insert"]}}
    assert daemon.http.post("/api/create", json={**body, "stream": False}).status_code == 200
    options = {"temperature": 0, "num_thread": 1, "num_predict": 60}
    for entry in EXPECTED["tinychat-f16.gguf"]["fill_in_the_middle"]:
        if entry["suffix"]:
            answer = ask(daemon, "fills", prompt=entry["prefix"], suffix=entry["suffix"], raw=False, options=options)
            assert answer.json()["response"] == entry["text"]
            assert answer.json()["prompt_eval_count"] == entry["prompt_tokens"]


def test_a_model_that_is_not_said_to_fill_gaps_refuses(daemon: Daemon) -> None:
    answer = ask(daemon, "chat", suffix="x", raw=False)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith("does not support insert")


# -- requests -----------------------------------------------------------------------------------------------------

ABSURD: list[tuple[str, Any]] = [
    *(("num_ctx", value) for value in (0, -1, 1, 2**31, 2**40, 2**63, 1e30)),
    *(("num_batch", value) for value in (0, -1, 10**9, 2**40)),
    *(("num_gpu", value) for value in (10**9, -5)),
    *(("main_gpu", value) for value in (5, -3)),
    *(("num_thread", value) for value in (10**9, -5)),
    *(("seed", value) for value in (1.5, 2**40, -(2**40), 1e300)),
    *(("num_keep", value) for value in (2**40, -(2**40))),
    *(("top_k", value) for value in (2**40, -1)),
    *(("top_p", value) for value in (-1, 5, 1e308)),
    *(("min_p", value) for value in (-1, 5)),
    *(("typical_p", value) for value in (0, -1, 5)),
    *(("temperature", value) for value in (-1, 1e308, 1e-300)),
    *(("repeat_last_n", value) for value in (2**40, -2)),
    *(("repeat_penalty", value) for value in (0, -1, 1e308)),
    *(("presence_penalty", value) for value in (1e308, -1e308)),
    *(("mirostat", value) for value in (7, -1)),
    ("draft_num_predict", 2**40),
]


@pytest.mark.parametrize(("option", "value"), ABSURD)
def test_an_absurd_option_is_bounded_or_refused(daemon: Daemon, option: str, value: Any) -> None:
    answer = ask(daemon, "good", options={**OPTIONS, option: value})
    if answer.status_code != 200:
        assert_refused(daemon, answer)


def deep(opening: bytes, closing: bytes, depth: int) -> bytes:
    return b'{"model":"good","prompt":"x","stream":false,"format":' + opening * depth + b"1" + closing * depth + b"}"


def plain(prompt: bytes) -> bytes:
    return b'{"model":"good","raw":true,"stream":false,"options":{"num_predict":2},"prompt":"' + prompt + b'"}'


BODIES: dict[str, tuple[int, bytes]] = {
    "lists in lists": (400, deep(b"[", b"]", 200_000)),
    "objects in objects": (400, deep(b'{"a":', b"}", 100_000)),
    "nearly too deep": (400, deep(b'{"items":', b"}", 5_000)),
    "bytes that are no text": (200, plain(b"\xff\xfe\x80 x")),
    "halves of characters": (200, plain(rb"\ud800\udfff\udc00")),
    "a zero": (200, plain(rb"a\u0000b")),
    "three megabytes of words": (200, plain(b"word " * 600_000)),
    "three megabytes in one word": (200, plain(b"x" * 3_000_000)),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_hostile_body(daemon: Daemon, kind: str) -> None:
    status, body = BODIES[kind]
    answer = daemon.http.post("/api/generate", content=body)
    assert answer.status_code == status, answer.text[:200]
    assert answer.json()


STOPS = {
    "a hundred thousand": [f"s{number}" for number in range(100_000)],
    "a megabyte in one": ["x" * (1 << 20)],
    "a megabyte in letters": ["x"] * (1 << 18),
    "a thousand empty ones": [""] * 1000,
}


@pytest.mark.parametrize("kind", STOPS)
def test_many_and_long_stop_texts(daemon: Daemon, kind: str) -> None:
    assert ask(daemon, "good", options={**OPTIONS, "stop": STOPS[kind]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/generate", {"model": "good", "prompt": "x", "context": [2**40, -5]}, 400),
        ("/api/generate", {"model": "good", "prompt": "x", "context": [1.5]}, 400),
        ("/api/generate", {"model": "good", "prompt": "x", "images": ["AAAA"]}, 400),
        ("/api/generate", {"model": "good", "prompt": "x", "images": ["%%%"]}, 400),
        ("/api/generate", {"model": "good", "prompt": "x", "logprobs": True, "top_logprobs": 10**9}, 400),
        ("/api/generate", {"model": "x" * 1_000_000}, 400),
        ("/api/generate", {"model": "../../../etc/passwd", "prompt": "x"}, 400),
        ("/api/generate", {"model": "chat", "prompt": "x", "template": '{{template "a"}}'}, 500),
        ("/api/embed", {"model": "embed", "input": "a", "dimensions": 2**40}, 200),
        ("/api/embed", {"model": "embed", "input": "a", "dimensions": -5}, 200),
        ("/api/embed", {"model": "embed", "input": "word " * 300_000}, 200),
        ("/api/embed", {"model": "embed", "input": ["a"] * 5_000}, 200),
        ("/api/embed", {"model": "good", "input": "x", "options": {"num_ctx": 2**40}}, 200),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_hostile_member(daemon: Daemon, path: str, body: dict[str, Any], status: int) -> None:
    answer = daemon.http.post(path, content=json.dumps({"stream": False, **body}))
    assert answer.status_code == status, answer.text[:200]
    assert answer.json()


@pytest.mark.parametrize("count", [1 << 16, (1 << 32) - 1])
def test_memory_is_not_planned_by_an_absurd_header(daemon: Daemon, count: int) -> None:
    """Layers are listed one by one: the daemon would fill its own memory."""
    data = hostile.bare().set("llama.block_count", U32, count).set("llama.attention.head_count_kv", ARRAY, (U32, [1]))
    assert create(daemon, "endless", {"endless.gguf": data.build()}).status_code == 200
    answer = ask(daemon, "endless")
    assert answer.status_code == 500
    assert answer.json()["error"].startswith(f"the file claims {count} layers")
