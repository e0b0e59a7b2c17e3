"""Creating models: recorded answers, worked examples, and that a failure leaves nothing behind."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelstore.create import create
from modelstore.digest import Digest
from modelstore.names import Name
from modelstore.progress import Progress
from tests.unit.modelstore.shop import MINIMAL, Recorded, Shop, recorded, request_of


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def recording(original: Recorded, tmp_path: Path) -> Recorded:
    return original.copied(tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# -- recorded answers -------------------------------------------------------------------------------------------------


def expected(vector: dict[str, Any]) -> list[dict[str, Any]]:
    response = vector["response"]
    if response["status"] != 200:
        return [{"error": response["json"]["error"], "code": response["status"]}]
    lines: list[dict[str, Any]] = response.get("events") or [response["json"]]
    text = json.dumps(lines).replace("creating new layer", "layer").replace("using existing layer", "layer")
    return json.loads(text)


def is_about_create(vector: dict[str, Any]) -> bool:
    """Whether the decoder of the server is done with the request and this package answers."""
    request, answer = vector["request"], json.dumps(vector["response"])
    decoder = ("missing request body", "Go struct field")
    return request["path"] == "/api/create" and not any(word in answer for word in decoder)


NEEDS_QUANTIZER = {"create/quantize-q8", "create/quantize-q8-not-streamed", "create/quantization-field"}
ABOUT_CREATE = [v for v in recorded("create") if is_about_create(v) and v["name"] not in NEEDS_QUANTIZER]


@pytest.mark.parametrize("vector", ABOUT_CREATE, ids=lambda v: v["name"])
def test_recorded_create_request_gets_the_recorded_events(vector: dict[str, Any], recording: Recorded) -> None:
    for step in vector.get("before", []):
        if step["path"] == "/api/create":
            recording.answer(step["json"])
        else:
            recording.shop.upload(step["body"].encode())
    body = vector["request"]["json"]
    lines, wanted = recording.answer(body), expected(vector)
    if body.get("stream") is False:
        lines, wanted = lines[-1:], wanted[-1:]
    for line, other in zip(lines, wanted, strict=False):
        if "code" not in other:
            line.pop("code", None)
        if vector.get("compare", {}).get("engine_text") and "error" in other:
            line["error"] = other["error"]
    assert lines == wanted


SHOWN = [vector for vector in recorded("create") if vector["request"]["path"] == "/api/show"]


@pytest.mark.parametrize("vector", SHOWN, ids=lambda v: v["name"])
def test_created_model_is_what_show_was_recorded_to_say(vector: dict[str, Any], recording: Recorded) -> None:
    for step in vector["before"]:
        recording.answer(step["json"])
    model = recording.shop.store.catalog.get(Name.parse(vector["request"]["json"]["model"]))
    shown = vector["response"]["json"]
    assert "\n".join(model.licenses) == shown.get("license", "")
    assert (model.template or "{{ .Prompt }}") == shown["template"]
    assert model.system == shown.get("system", "")
    assert model.messages == shown.get("messages", [])
    assert model.config.requires == shown.get("requires", "")
    assert model.capabilities == shown["capabilities"]
    details = shown["details"]
    assert model.parent_model == details["parent_model"]
    assert model.config.model_format == details["format"]
    assert model.config.model_family == details["family"]
    assert model.config.model_families == details["families"]
    assert model.config.file_type == details["quantization_level"]


# -- the worked example -----------------------------------------------------------------------------------------------

MESSAGES = [
    {"role": "assistant", "content": "What is my purpose?"},
    {"role": "user", "content": "You run tests."},
    {"role": "assistant", "content": "Oh, my god."},
]
WEIGHTS = "sha256:89a2116c3a82d6a97f59f748d86ed4417214353fd178ee54df418fde32495fad"
REQUEST_A: dict[str, Any] = {
    "files": {"test.gguf": WEIGHTS},
    "template": "{{ .System }} {{ .Prompt }}",
    "system": "Say bye!",
    "license": ["MIT", "Apache-2.0"],
    "parameters": {"temperature": 1, "top_k": 10, "stop": ["USER:", "ASSISTANT:"]},
    "messages": MESSAGES,
}


def test_worked_example_has_the_published_identity(shop: Shop) -> None:
    assert shop.upload(MINIMAL) == WEIGHTS
    assert shop.create("test", **REQUEST_A) == [
        "parsing GGUF",
        "verifying conversion",
        f"using existing layer {WEIGHTS}",
        "creating new layer sha256:fe7ac77b725cda2ccad03f88a880ecdfd7a33192d6cae08fce2c0ee1455991ed",
        "creating new layer sha256:4c5f51faac758fecaff8db42f0b7382891a4d0c0bb885f7b86be88c814a7cc86",
        "creating new layer sha256:e5dcffe836b6ec8a58e492419b550e65fb8cbdc308503979e5dacb33ac7ea3b7",
        "creating new layer sha256:2af71558e438db0b73a20beab92dc278a94e1bbe974c00c1a33e3ab62d53a608",
        "creating new layer sha256:1d0ad71299d48c2fb7ae2b98e683643e771f8a5b72be34942af90d97a91c1e37",
        "creating new layer sha256:298baeaf6928a60cf666d88d64a1ba606feb43a2865687c39e40652e407bffc4",
        "writing manifest",
        "success",
    ]
    model = shop.store.catalog.get(Name.parse("test"))
    assert model.digest == "87523a10d2c0d6317eb871302b4926475fc1d271eea8eb78337a49a516110969"
    assert model.size == 465


def test_derived_worked_example_has_the_published_identity(shop: Shop) -> None:
    shop.upload(MINIMAL)
    shop.create("test", **REQUEST_A)
    events = shop.create("test2", **{"from": "test", "parameters": {"temperature": 0.6, "top_p": 0.7}})
    assert [event.split()[0] for event in events] == ["using"] * 6 + ["creating", "writing", "success"]
    model = shop.store.catalog.get(Name.parse("test2"))
    assert model.digest == "ef5d84dc95502e671582979bb5e27edbde2204c5d77658a562195e68ac129b06"


def test_stub_of_a_cloud_model_has_the_published_identity(shop: Shop) -> None:
    info = {
        "model_family": "gptoss",
        "parameter_size": "20.9B",
        "quantization_level": "MXFP4",
        "capabilities": ["completion", "tools", "thinking"],
        "context_length": 131072,
        "embedding_length": 2880,
    }
    assert shop.create("stub", **{"from": "gpt-oss:20b:cloud", "info": info}) == ["writing manifest", "success"]
    model = shop.store.catalog.get(Name.parse("stub"))
    assert model.digest == "32f33cc9504931dd74da93ede029f45cc01e188058e7dd9fc3b8dae9c3266dc4"


# -- failure ----------------------------------------------------------------------------------------------------------


class ClientGoneError(Exception):
    """Raised in the middle of an operation."""


@pytest.mark.parametrize("events", range(11))
@pytest.mark.parametrize("exists", [False, True])
def test_a_create_that_breaks_off_leaves_the_store_as_it_was(tmp_path: Path, events: int, exists: bool) -> None:
    shop = Shop(tmp_path)
    shop.upload(MINIMAL)
    if exists:
        shop.create("test", files={"t.gguf": WEIGHTS}, system="the old one", license="MIT")
    before = shop.contents()
    seen: list[Progress] = []

    def report(event: Progress) -> None:
        if len(seen) == events:
            raise ClientGoneError
        seen.append(event)

    with pytest.raises(ClientGoneError):
        create(shop.store, request_of({"model": "test", **REQUEST_A}), report)
    if events < 10:
        assert shop.contents() == before
    else:
        assert shop.store.catalog.get(Name.parse("test")).system == "Say bye!"


def test_a_create_that_replaces_a_model_removes_what_only_the_old_one_needed(shop: Shop) -> None:
    shop.create("base", files={"b.gguf": shop.upload(MINIMAL)})
    shop.create("m", **{"from": "base", "system": "old", "license": "kept"})
    shop.create("n", **{"from": "base", "license": "kept"})
    shop.create("M", **{"from": "base", "system": "new"})
    assert [name.short for name in shop.store.catalog.names()] == ["base:latest", "m:latest", "n:latest"]
    assert not shop.store.blobs.has(Digest.of(b"old"))
    assert shop.store.blobs.has(Digest.of(b"kept"))


def test_nothing_is_removed_when_the_store_does_not_prune(tmp_path: Path) -> None:
    shop = Shop(tmp_path, prune=False)
    shop.create("base", files={"b.gguf": shop.upload(MINIMAL)})
    shop.create("m", **{"from": "base", "system": "old"})
    shop.create("m", **{"from": "base", "system": "new"})
    assert shop.store.blobs.has(Digest.of(b"old"))


def test_messages_keep_the_members_that_say_something(shop: Shop) -> None:
    call = {"function": {"name": "f", "arguments": {"b": 1, "a": "x"}}}
    messages = [
        {"content": None, "role": "Assistant", "tool_calls": [call], "thinking": "hm", "images": []},
        {"role": "tool", "content": "ok", "tool_name": "f", "tool_call_id": "1"},
    ]
    shop.create("m", files={"b.gguf": shop.upload(MINIMAL)}, messages=messages)
    model = shop.store.catalog.get(Name.parse("m"))
    data = shop.store.blobs.read(model.manifest.layers[-1].digest)
    assert data == (
        b'[{"role":"assistant","content":"","thinking":"hm","tool_calls":[{"function":{"name":"f",'
        b'"arguments":{"b":1,"a":"x"}}}]},{"role":"tool","content":"ok","tool_name":"f","tool_call_id":"1"}]\n'
    )
