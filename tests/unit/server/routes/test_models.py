"""List, show, copy, delete, and what is loaded."""

from typing import Any

import httpx
import pytest

from modelstore import bundled
from modelstore.names import Name
from modelstore.progress import Progress
from scheduler.requests import LoadedModel, ModelRef
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import install

pytestmark = pytest.mark.anyio

NAME = "tinychat:latest"


@pytest.fixture
def model(services: Services) -> str:
    """A model is installed."""
    events: list[Progress] = []
    bundled.pull(services.store, Name.parse(NAME), events.append)
    return NAME


async def error_of(http: httpx.AsyncClient, method: str, path: str, **body: Any) -> tuple[int, str]:
    answer = await http.request(method, path, json=body)
    assert list(answer.json()) == ["error"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return answer.status_code, answer.json()["error"]


async def test_an_empty_store_lists_nothing(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/tags")).content == b'{"models":[]}'
    assert (await http.get("/api/ps")).content == b'{"models":[]}'


async def test_lists_what_is_there(http: httpx.AsyncClient, model: str) -> None:
    (row,) = (await http.get("/api/tags")).json()["models"]
    assert list(row) == ["name", "model", "modified_at", "size", "digest", "details", "capabilities"]
    assert row["name"] == row["model"] == model
    assert list(row["details"]) == [
        "parent_model",
        "format",
        "family",
        "families",
        "parameter_size",
        "quantization_level",
        "context_length",
        "embedding_length",
    ]


async def test_a_long_list_is_sent_in_chunks(http: httpx.AsyncClient, services: Services, model: str) -> None:
    """As in the reference: a length is only stated for short bodies."""
    for number in range(8):
        services.store.catalog.copy(Name.parse(model), Name.parse(f"copy{number}"))
    answer = await http.head("/api/tags")
    assert "content-length" not in answer.headers


async def test_shows_everything(http: httpx.AsyncClient, model: str) -> None:
    answer = (await http.post("/api/show", json={"model": " TinyChat "})).json()
    keys = list(answer)
    assert keys[:3] == ["license", "modelfile", "template"] or keys[:4] == [
        "license",
        "modelfile",
        "parameters",
        "template",
    ]
    assert keys[-5:] == ["details", "model_info", "tensors", "capabilities", "modified_at"]
    assert f"\n# FROM {model}\n\nFROM /" in answer["modelfile"]
    info = answer["model_info"]
    assert list(info) == sorted(info)
    assert info["tokenizer.ggml.tokens"] is None
    assert info["general.parameter_count"] > 0
    assert not {"general.name", "tokenizer.chat_template"} & set(info)
    names = [tensor["name"] for tensor in answer["tensors"]]
    assert names.index("token_embd.weight") < names.index("blk.0.attn_k.weight") < names.index("blk.1.attn_k.weight")


async def test_show_verbose_has_the_arrays(http: httpx.AsyncClient, model: str) -> None:
    answer = (await http.post("/api/show", json={"model": model, "verbose": True})).json()
    assert answer["model_info"]["tokenizer.ggml.tokens"][0]


async def test_show_lays_system_and_options_over_the_modelfile(http: httpx.AsyncClient, model: str) -> None:
    body = {"name": model, "system": "Be brief.", "options": {"stop": ["a"], "num_ctx": 1048576, "x": None}}
    answer = (await http.post("/api/show", json=body)).json()
    assert answer["system"] == "Be brief."
    for line in ("SYSTEM Be brief.", "PARAMETER stop a", "PARAMETER num_ctx 1.048576e+06", "PARAMETER x <nil>"):
        assert f"\n{line}\n" in answer["modelfile"]


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("", 400, "model is required"),
        (" ", 400, "model is required"),
        ("a b", 400, "invalid model name"),
        ("nope", 404, "model 'nope:latest' not found"),
        ("ns/nope:1", 404, "model 'ns/nope:1' not found"),
        ("x:cloud", 403, "ollama cloud is disabled: remote model details are unavailable"),
        ("x:7b-cloud", 403, "ollama cloud is disabled: remote model details are unavailable"),
        ("x:cloud:local", 400, 'use either :local or :cloud, not both: "x:cloud:local"'),
    ],
)
async def test_show_refuses(http: httpx.AsyncClient, name: str, status: int, message: str) -> None:
    assert await error_of(http, "POST", "/api/show", model=name) == (status, message)


async def test_copies_and_deletes(http: httpx.AsyncClient, model: str) -> None:
    answer = await http.post("/api/copy", json={"source": "TINYCHAT", "destination": "other"})
    assert (answer.status_code, answer.content) == (200, b"")
    answer = await http.request("DELETE", "/api/delete", json={"name": " Other "})
    assert (answer.status_code, answer.content) == (200, b"")
    assert [row["name"] for row in (await http.get("/api/tags")).json()["models"]] == [model]


@pytest.mark.parametrize(
    ("source", "destination", "status", "message"),
    [
        ("", "x", 400, 'source "" is invalid'),
        (" a", "x", 400, 'source " a" is invalid'),
        ("a b", "c d", 400, 'source "a b" is invalid'),
        ("a", "c d", 400, 'destination "c d" is invalid'),
        ("nope", "x", 404, 'model "nope" not found'),
    ],
)
async def test_copy_refuses(http: httpx.AsyncClient, source: str, destination: str, status: int, message: str) -> None:
    assert await error_of(http, "POST", "/api/copy", source=source, destination=destination) == (status, message)


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("", 400, "model is required"),
        ("a b", 400, 'name "a b" is invalid'),
        ("nope", 404, "model 'nope' not found"),
        ("NS/nope", 404, "model 'NS/nope' not found"),
        ("x:cloud:local", 400, 'use either :local or :cloud, not both: "x:cloud:local"'),
    ],
)
async def test_delete_refuses(http: httpx.AsyncClient, name: str, status: int, message: str) -> None:
    assert await error_of(http, "DELETE", "/api/delete", model=name) == (status, message)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/show"), ("POST", "/api/copy"), ("DELETE", "/api/delete"), ("POST", "/api/create"),
     ("POST", "/api/pull"), ("POST", "/api/push"), ("POST", "/api/experimental/web_search")],
)  # fmt: skip
async def test_a_body_is_needed(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()) == (400, {"error": "missing request body"})


async def test_ps_lists_the_longest_stay_first(http: httpx.AsyncClient, services: Services) -> None:
    ref = ModelRef(key="k", name="a:latest", digest="0" * 64, weights=("w",), details={"format": "gguf"})
    rows: list[LoadedModel] = services.scheduler.loaded()
    for expires_at in (1_700_000_000.0, None, 1_800_000_000.5):
        rows.append(LoadedModel(ref, size=3, size_vram=0, context_length=7, expires_at=expires_at))
    models = (await http.get("/api/ps")).json()["models"]
    never, *years = [row["expires_at"][:4] for row in models]
    assert int(never) > 2200
    assert years == ["2027", "2023"]
    assert list(models[1]) == [
        "name",
        "model",
        "size",
        "digest",
        "details",
        "expires_at",
        "size_vram",
        "context_length",
    ]


async def test_show_of_weights_that_are_gone_or_unreadable(http: httpx.AsyncClient, services: Services) -> None:
    for name in ("gone", "junk"):
        install(services.store, name, tinygguf.model(block_count=len(name) + ord(name[0])))
    for name in ("gone", "junk"):
        (weights,) = services.store.catalog.get(Name.parse(name)).weights
        if name == "gone":
            weights.unlink()
        else:
            weights.write_bytes(b"GGUF")
    assert await error_of(http, "POST", "/api/show", model="gone") == (404, "model 'gone:latest' not found")
    status, text = await error_of(http, "POST", "/api/show", model="junk")
    assert status == 500
    assert text


async def test_one_client_is_told_another_base_name(http: httpx.AsyncClient, model: str) -> None:
    """Among the metadata in their order."""
    agent = {"user-agent": "GitHubCopilotChat/1.0"}
    info = (await http.post("/api/show", json={"model": "TinyChat"}, headers=agent)).json()["model_info"]
    assert info["general.basename"] == "TinyChat"
    assert list(info) == sorted(info)


async def test_show_has_its_members_in_their_order(http: httpx.AsyncClient, services: Services) -> None:
    body: dict[str, Any] = {
        "license": ["one", "two"], "template": "{{ .Prompt }}", "system": "S", "parameters": {"top_k": 1},
        "messages": [{"role": "user", "content": "u", "images": ["AAAA"]}, {"role": "assistant", "content": "a"}],
        "requires": "0.1.0",
    }  # fmt: skip
    install(services.store, "m", **body)
    answer = (await http.post("/api/show", json={"model": "m"})).json()
    assert list(answer) == [
        "license", "modelfile", "parameters", "template", "system", "details", "messages", "model_info", "tensors",
        "capabilities", "modified_at", "requires",
    ]  # fmt: skip
    assert answer["license"] == "one\ntwo"
    assert answer["messages"] == [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    assert list(answer["details"]) == [
        "parent_model", "format", "family", "families", "parameter_size", "quantization_level",
    ]  # fmt: skip


async def test_show_of_a_model_with_nothing(http: httpx.AsyncClient, services: Services) -> None:
    """What says nothing is left out; the template of a model without any is the bare prompt."""
    install(services.store, "m")
    answer = (await http.post("/api/show", json={"model": "m"})).json()
    assert list(answer) == [
        "modelfile", "template", "details", "model_info", "tensors", "capabilities", "modified_at",
    ]  # fmt: skip
    assert answer["template"] == "{{ .Prompt }}"
