"""What the scheduler is told of a stored model."""

from pathlib import Path
from typing import Any

import pytest

from modelstore.errors import BlobNotFound
from modelstore.names import Name
from modelstore.store import Store
from scheduler.requests import Block, ModelFacts, ModelRef
from server.inference.reference import key_of, known, refer
from tests.unit.modelstore import ggufbytes, tinygguf
from tests.unit.modelstore.ggufbytes import ARRAY, F32, STRING, U32
from tests.unit.server.fakes import install


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "models")


def reference(store: Store, weights: bytes, **body: Any) -> ModelRef:
    install(store, "m", weights, **body)
    return refer(store.catalog.get(Name.parse("m")))


def llama(*keys: ggufbytes.Key) -> bytes:
    every = [("general.architecture", STRING, "llama"), ("llama.block_count", U32, 2), *keys]
    tensor = ggufbytes.tensor("output.weight", [32, 4])
    return ggufbytes.gguf(every, [tensor], 512)


def test_facts_are_those_of_the_header(store: Store) -> None:
    weights = llama(
        ("llama.context_length", U32, 2048),
        ("llama.embedding_length", U32, 64),
        ("llama.attention.head_count", U32, 8),
        ("llama.attention.head_count_kv", U32, 2),
        ("llama.attention.key_length", U32, 16),
        ("llama.attention.sliding_window", U32, 512),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, ["a", "b", "c"])),
    )
    assert reference(store, weights).facts == ModelFacts(
        architecture="llama",
        block_count=2,
        blocks=(Block(0, keys=2 * 16, values=2 * 8, head=16),) * 2,
        context_length=2048,
        embedding_length=64,
        head_count=8,
        query_length=8 * 16,
        vocab_size=4,
        output_bytes=512,
        weights_bytes=len(weights),
    )


def test_layers_have_heads_of_their_own(store: Store) -> None:
    weights = llama(
        ("llama.embedding_length", U32, 64),
        ("llama.attention.head_count", ARRAY, (U32, [8, 6])),
        ("llama.attention.head_count_kv", ARRAY, (ggufbytes.I32, [0, 2])),
    )
    facts = reference(store, weights).facts
    assert facts.head_count == 8
    assert [block.keys for block in facts.blocks] == [0, 2 * 8]


def test_what_is_no_count_is_not_known(store: Store) -> None:
    weights = llama(
        ("llama.attention.head_count", F32, float("inf")),
        ("llama.attention.head_count_kv", ARRAY, (STRING, ["many"])),
        ("llama.context_length", ggufbytes.I32, -5),
        ("tokenizer.ggml.tokens", STRING, "a b"),
    )
    facts = reference(store, weights).facts
    assert (facts.head_count, facts.context_length) == (0, 0)
    assert {block.keys for block in facts.blocks} == {0}


def test_a_pooling_type_makes_an_embedding_model(store: Store) -> None:
    facts = reference(store, tinygguf.model("bert", pooling_type=0)).facts
    assert (facts.architecture, facts.embedding) == ("bert", True)


def test_a_draft_model_is_handed_on_with_its_size(store: Store) -> None:
    heads = {"attention__head_count": 4, "attention__head_count_kv": 2}
    sizes: dict[str, Any] = {"block_count": 3, "embedding_length": 64, **heads}
    draft = tinygguf.model(**sizes)
    digest = str(store.blobs.put(draft))
    found = reference(store, tinygguf.model(), draft_files={"draft.gguf": digest})
    assert [Path(path).name for path in found.draft] == [digest.replace(":", "-")]
    assert found.facts.drafter is not None
    assert found.facts.drafter.weights_bytes == len(draft)
    assert [block.keys + block.values for block in found.facts.drafter.blocks] == 3 * [2 * (16 + 16)]
    plain = reference(store, tinygguf.model())
    assert (plain.draft, plain.facts.drafter) == ((), None)


def test_tags_with_the_same_weights_share_a_key_and_keep_their_names(store: Store) -> None:
    first = reference(store, tinygguf.model())
    install(store, "other", template="{{ .Prompt }}")
    second = refer(store.catalog.get(Name.parse("other")))
    assert first.key == second.key == first.weights[0]
    assert (first.name, second.name) == ("m:latest", "other:latest")
    assert first.digest != second.digest
    assert first.families == ("llama",)
    assert first.details["family"] == "llama"


def test_weights_that_are_gone_are_missed(store: Store) -> None:
    install(store, "m")
    model = store.catalog.get(Name.parse("m"))
    model.weights[0].unlink()
    fresh = Store.open(store.layout.root, prune=False).catalog.get(Name.parse("m"))
    with pytest.raises(BlobNotFound):
        refer(fresh)
    assert key_of(fresh) == str(model.weights[0])


def test_a_reference_is_kept_as_long_as_its_files_are_there(store: Store) -> None:
    install(store, "m", llama())
    model = store.catalog.get(Name.parse("m"))
    assert known(model) is None
    reference = refer(model)
    assert known(model) is reference
    assert refer(model) is reference
