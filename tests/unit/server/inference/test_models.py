"""Which model a request means, and what it may be asked."""

from pathlib import Path

import pytest

from modelstore.create import create
from modelstore.model import StoredModel
from modelstore.names import Name
from modelstore.store import Store
from server.errors import ApiError
from server.inference import models
from server.inference.reference import refer
from server.inference.request import ChatRequest, CompletionRequest, TextRequest, Think
from server.messages import Message, Tool
from tests.unit.modelstore import tinygguf
from tests.unit.modelstore.shop import FILES, no_pull, request_of
from tests.unit.server.fakes import install

THINKS = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}"
FULL = "registry.ollama.ai/library/m:latest"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "models")


@pytest.fixture
def plain(store: Store) -> StoredModel:
    install(store, "m", template="{{ .Prompt }}")
    return store.catalog.get(Name.parse("m"))


@pytest.fixture
def thinker(store: Store) -> StoredModel:
    install(store, "m", template=THINKS)
    return store.catalog.get(Name.parse("m"))


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("", 404, "model '' not found"),
        (" ", 404, "model ' ' not found"),
        ("a b", 400, "invalid model name"),
        ("m:cloud", 403, "ollama cloud is disabled: remote model is unavailable"),
        ("nope", 404, "model 'nope' not found"),
        ("m:local", 404, "model 'm:local' not found"),
    ],
)
def test_names_of_nothing(store: Store, name: str, status: int, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        models.find(store, name)
    assert (caught.value.status, caught.value.message) == (status, text)


@pytest.mark.parametrize("name", ["m", "M", "Library/m:LATEST", "m:local"])
def test_a_model_is_found_in_any_spelling(store: Store, plain: StoredModel, name: str) -> None:
    assert models.find(store, name).name == plain.name


def test_a_model_is_recalled_once_everything_about_it_has_been_read(store: Store, plain: StoredModel) -> None:
    assert models.recall(store, "m") is None
    refer(models.find(store, "m"))
    assert models.recall(store, "m") is models.find(store, "m")
    assert models.recall(store, "M") is None, "the spelling has to be looked for"
    install(store, "m", template="{{ .Prompt }}!")
    assert models.recall(store, "m") is None, "it is another one now"


@pytest.mark.parametrize(("asked", "used"), [(None, True), (False, False), (True, True), ("low", "low")])
def test_a_model_that_can_think_does_unless_told_not_to(
    thinker: StoredModel, asked: Think | None, used: Think | None
) -> None:
    request = TextRequest(model="m", think=asked)
    models.decide_thinking(thinker, request)
    assert request.think == used


@pytest.mark.parametrize("asked", [None, False])
def test_a_model_that_cannot_think_may_be_told_not_to(plain: StoredModel, asked: bool | None) -> None:
    request = TextRequest(model="m", think=asked)
    models.decide_thinking(plain, request)
    assert request.think == asked


@pytest.mark.parametrize("asked", [True, "high"])
def test_a_model_that_cannot_think_cannot_be_told_to(plain: StoredModel, asked: Think) -> None:
    with pytest.raises(ApiError) as caught:
        models.decide_thinking(plain, TextRequest(model="M", think=asked))
    assert (caught.value.status, caught.value.message) == (400, '"M" does not support thinking')


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (ChatRequest(model="M", tools=[Tool()]), f"{FULL} does not support tools"),
        (CompletionRequest(model="M", suffix="x"), f"{FULL} does not support insert"),
    ],
)
def test_what_a_model_cannot_do(plain: StoredModel, request_: ChatRequest | CompletionRequest, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        models.check_capabilities(plain, request_)
    assert (caught.value.status, caught.value.message) == (400, text)


@pytest.mark.parametrize(
    ("request_", "verb"),
    [(ChatRequest(model="M", tools=[Tool()]), "chat"), (CompletionRequest(model="M", suffix="x"), "generate")],
)
def test_no_completion_outranks_every_other_lack(
    store: Store, request_: ChatRequest | CompletionRequest, verb: str
) -> None:
    install(store, "m", tinygguf.model("bert", pooling_type=1))
    with pytest.raises(ApiError) as caught:
        models.check_capabilities(store.catalog.get(Name.parse("m")), request_)
    assert caught.value.message == f'"M" does not support {verb}'


def test_gpt_oss_thinks_no_harder_than_high(store: Store) -> None:
    install(store, "oss", tinygguf.model("gptoss"), template="<|start|>{{ .Prompt }}<|end|>")
    install(store, "named", tinygguf.model("gptoss"), template="{{ .Prompt }}", parser="harmony")
    cases: list[tuple[Think | None, Think]] = [("max", "high"), ("low", "low"), (None, True)]
    for asked, used in cases:
        for name in ("oss", "named"):
            request = TextRequest(model=name, think=asked)
            models.decide_thinking(models.find(store, name), request)
            assert request.think == used


def stub(store: Store, host: str = "https://ollama.com") -> StoredModel:
    """A model that runs elsewhere."""
    wanted = request_of({"model": "stub", "from": "far", "remote_host": host})
    create(store, wanted, lambda event: None, pull=no_pull)
    return models.find(store, "stub")


@pytest.mark.parametrize("host", ["https://ollama.com", "https://example.com"])
def test_a_model_that_runs_elsewhere(store: Store, plain: StoredModel, host: str) -> None:
    """There is no hosted service behind this server, whichever it is."""
    models.check_here(plain)
    with pytest.raises(ApiError) as caught:
        models.check_here(stub(store, host))
    text = "ollama cloud is disabled: remote model is unavailable"
    assert (caught.value.status, caught.value.message) == (403, text)


def test_a_stub_is_not_this_machines_own(store: Store) -> None:
    stub(store)
    with pytest.raises(ApiError) as caught:
        models.find(store, "stub:local")
    assert (caught.value.status, caught.value.message) == (404, "model 'stub:local' not found")


def test_models_that_make_pictures_are_refused(store: Store, plain: StoredModel) -> None:
    models.check_writes(plain)
    install(store, "painter", template="{{ .Prompt }}", info={"capabilities": ["image"]})
    with pytest.raises(ApiError) as caught:
        models.check_writes(models.find(store, "painter"))
    assert (caught.value.status, caught.value.message) == (
        400,
        "image generation models are not currently supported",
    )


def test_the_name_in_a_refusal_is_quoted(plain: StoredModel) -> None:
    with pytest.raises(ApiError, match=r'^"m\\t" does not support thinking$'):
        models.decide_thinking(plain, TextRequest(model="m\t", think=True))


PICTURE = b"i"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (CompletionRequest(model="m", prompt="p", images=[PICTURE, PICTURE]), 400),
        (ChatRequest(model="m", messages=[Message("user", "x"), Message("user", "y", images=[PICTURE] * 2)]), 500),
        (CompletionRequest(model="m", prompt="p", images=[PICTURE]), None),
        (ChatRequest(model="m", messages=[Message("user", "x", images=[PICTURE])] * 2), None),
        (ChatRequest(model="m"), None),
    ],
)
def test_mllama_looks_at_one_picture_a_message(
    store: Store, plain: StoredModel, request_: ChatRequest | CompletionRequest, status: int | None
) -> None:
    models.check_images(plain, request_)
    install(store, "one", tinygguf.model("mllama"), template="{{ .Prompt }}")
    model = models.find(store, "one")
    if status is None:
        models.check_images(model, request_)
        return
    with pytest.raises(ApiError) as caught:
        models.check_images(model, request_)
    text = "this model only supports one image while more than one image requested"
    assert (caught.value.status, caught.value.message) == (status, text)


def test_mllama_with_a_projector_has_been_replaced(store: Store) -> None:
    """That outranks what it cannot do."""
    projector = str(store.blobs.put(FILES["tinyvision-mmproj-f16.gguf"]))
    weights = str(store.blobs.put(tinygguf.model("mllama")))
    wanted = request_of({"model": "old", "files": {"a.gguf": weights, "b.gguf": projector}})
    create(store, wanted, lambda event: None, pull=no_pull)
    with pytest.raises(ApiError, match=r"^'llama3\.2-vision' is no longer compatible .*'$"):
        models.check_capabilities(models.find(store, "old"), CompletionRequest(model="old", suffix="x"))
