"""Finding, listing, copying, writing and deleting models."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from modelstore import files
from modelstore.blobs import BlobStore
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, InvalidGGUF, InvalidManifest, ModelNotFound
from modelstore.manifest import (
    ADAPTER_TYPE,
    CONFIG_TYPE,
    LICENSE_TYPE,
    MESSAGES_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    PROJECTOR_TYPE,
    PROMPT_TYPE,
    SYSTEM_TYPE,
    TEMPLATE_TYPE,
    Layer,
    Manifest,
    ModelConfig,
)
from modelstore.model import StoredModel
from modelstore.names import Name
from modelstore.store import Store
from tests.unit.modelstore.ggufbytes import ARRAY, BOOL, STRING, Key, gguf, llama, tensor

CONFIG = ModelConfig(model_format="gguf", model_family="llama", model_families=["llama"], file_type="unknown")


def name(text: str) -> Name:
    return Name.parse(text)


def manifest(store: Store, *contents: tuple[str, bytes | str], config: ModelConfig = CONFIG) -> Manifest:
    """Layers of these types, whose blobs are put into the store."""
    layers: list[Layer] = []
    for kind, content in contents:
        data = content.encode() if isinstance(content, str) else content
        layers.append(Layer(kind, store.blobs.put(data), len(data)))
    data = config.encode()
    return Manifest(tuple(layers), Layer(CONFIG_TYPE, store.blobs.put(data), len(data)))


def add(store: Store, text: str, *contents: tuple[str, bytes | str], at: float = 0) -> Manifest:
    """A model with these layers, written at that time."""
    made = manifest(store, *contents or [(MODEL_TYPE, llama())])
    store.catalog.write(name(text), made)
    if at:
        os.utime(store.layout.manifest(name(text)), (at, at))
    return made


def names(store: Store) -> list[str]:
    return [model.name.short for model in store.catalog.list()]


def stray(store: Store, path: str, content: str = "") -> Path:
    """A file among the manifests that this package did not write."""
    found = store.layout.manifests / path
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_text(content)
    return found


# -- looking ----------------------------------------------------------------------------------------------------------


def test_everything_about_a_model(store: Store) -> None:
    """All layers come back as what they are."""
    weights, adapter = llama(), gguf([("general.type", STRING, "adapter")])
    made = add(
        store, "me/m:v1",
        (MODEL_TYPE, weights), (PROJECTOR_TYPE, gguf([("general.architecture", STRING, "clip")])),
        (ADAPTER_TYPE, adapter), (TEMPLATE_TYPE, "{{ .Prompt }}{{ .Tools }}"), (SYSTEM_TYPE, "Be brief."),
        (PARAMS_TYPE, '{"stop":["a"],"temperature":0.7,"top_k":5}'), (MESSAGES_TYPE, '[{"role":"user","content":"x"}]'),
        (LICENSE_TYPE, "MIT"), (LICENSE_TYPE, "Apache"), ("application/vnd.ollama.image.embed", "old"),
    )  # fmt: skip
    model = store.catalog.get(name("me/m:v1"))
    assert model.digest == Digest.of(made.encode()).hex
    assert model.size == made.size
    assert model.weights == [store.blobs.path(Digest.of(weights))]
    assert model.adapters == [store.blobs.path(Digest.of(adapter))]
    assert (len(model.projectors), model.draft) == (1, None)
    assert (model.template, model.system) == ("{{ .Prompt }}{{ .Tools }}", "Be brief.")
    assert model.params == {"stop": ["a"], "temperature": 0.7, "top_k": 5}
    assert model.messages == [{"role": "user", "content": "x"}]
    assert model.licenses == ["MIT", "Apache"]
    assert model.header is not None
    assert model.header.parameter_count == 40
    assert (model.context_length, model.embedding_length, model.quantization) == (2048, 32, "F16")
    assert model.capabilities == ["completion", "vision", "tools"]
    assert model.template_mode.value == "go"
    assert model.listed_capabilities == ["completion", "tools", "vision"]
    assert model.modified_at.tzinfo is not None
    assert model.modified_at.timestamp() == pytest.approx(model.modified_ns / 1e9, abs=1e-5)


def test_a_bare_model(store: Store) -> None:
    """What is not there has its neutral value; the weights' own chat template is used."""
    add(store, "m")
    model = store.catalog.get(name("m"))
    assert (model.template, model.system, model.params, model.messages, model.licenses) == (None, "", {}, [], [])
    assert model.template_mode.value == "jinja"
    assert model.projector_header is None


def test_old_word_for_the_template(store: Store) -> None:
    """A prompt layer is a template layer."""
    add(store, "m", (MODEL_TYPE, llama()), (PROMPT_TYPE, "{{ .Prompt }}"))
    assert store.catalog.get(name("m")).template == "{{ .Prompt }}"


def test_model_without_weights(store: Store) -> None:
    """A stub of a remote model has no files and no header."""
    made = manifest(store, config=ModelConfig(remote_host="https://ollama.com:443", capabilities=["completion"]))
    store.catalog.write(name("m"), made)
    model = store.catalog.get(name("m"))
    assert (model.weights, model.header, model.facts, model.parent_model) == ([], None, None, "")
    assert model.capabilities == ["completion"]


def test_last_weights_win_and_name_their_parent(store: Store) -> None:
    """Of several files the last is loaded."""
    first, second = llama(), llama(("x", BOOL, True))
    made = manifest(store, (MODEL_TYPE, first), (MODEL_TYPE, second))
    inherited = Layer(MODEL_TYPE, made.layers[1].digest, made.layers[1].size, "base:latest")
    store.catalog.write(name("m"), Manifest((made.layers[0], inherited), made.config))
    model = store.catalog.get(name("m"))
    assert model.weights == [store.blobs.path(Digest.of(second))]
    assert model.parent_model == "base:latest"


def test_shards_are_one_model(store: Store) -> None:
    """The parts of a split file are taken together, in their order, whatever that of the layers is."""
    parts: list[bytes] = []
    for number in range(3):
        keys: list[Key] = [("split.no", 2, number), ("split.count", 2, 3)]
        start: list[Key] = [("general.architecture", STRING, "llama"), ("tokenizer.ggml.model", STRING, "gpt2")]
        parts.append(gguf([*(start if number == 0 else []), *keys], [tensor(f"w{number}", [8])], 32))
    add(store, "m", (MODEL_TYPE, parts[2]), (MODEL_TYPE, parts[0]), (MODEL_TYPE, parts[1]))
    model = store.catalog.get(name("m"))
    assert model.weights == [store.blobs.path(Digest.of(part)) for part in parts]
    assert model.header is not None
    assert model.header.architecture == "llama"
    assert [each.name for each in model.header.tensors] == ["w0", "w1", "w2"]


def test_damaged_weights(store: Store) -> None:
    """The model is still listed; only its header raises, and what comes from the header is missing."""
    add(store, "m", (MODEL_TYPE, llama()[:500]))
    model = store.catalog.get(name("m"))
    with pytest.raises(InvalidGGUF):
        _ = model.header
    assert model.capabilities == []
    assert names(store) == ["m:latest"]


def test_missing_weights(store: Store) -> None:
    """When the blob is back, so is everything that depends on it."""
    add(store, "m")
    weights = Digest.of(llama())
    store.blobs.remove(weights)
    model = store.catalog.get(name("m"))
    with pytest.raises(BlobNotFound):
        _ = model.header
    assert (model.facts, model.context_length, model.quantization, model.capabilities) == (None, 0, "unknown", [])
    store.blobs.put(llama())
    assert (model.context_length, model.capabilities) == (2048, ["completion"])


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (PARAMS_TYPE, "[1]"),
        (PARAMS_TYPE, "{"),
        (MESSAGES_TYPE, "{}"),
        (MESSAGES_TYPE, "[1]"),
        (PARAMS_TYPE, "[" * 9999),
    ],
)
def test_damaged_small_blobs(store: Store, caplog: pytest.LogCaptureFixture, kind: str, content: str) -> None:
    """Such a model is refused by name, and left out of the list with a warning."""
    add(store, "m", (MODEL_TYPE, llama()), (kind, content))
    add(store, "good")
    with pytest.raises(InvalidManifest):
        store.catalog.get(name("m"))
    assert names(store) == ["good:latest"]
    assert "bad manifest" in caplog.text


def test_null_blobs(store: Store) -> None:
    """A null counts as nothing."""
    add(store, "m", (MODEL_TYPE, llama()), (PARAMS_TYPE, "null"), (MESSAGES_TYPE, "null"))
    model = store.catalog.get(name("m"))
    assert (model.params, model.messages) == ({}, [])


def test_absent(store: Store) -> None:
    """The error has the name for display; a directory in its place is no model."""
    add(store, "a")
    for text in ("nope", "a:nope", "a:latest/x/y"):
        with pytest.raises(ModelNotFound) as caught:
            store.catalog.get(name(text))
        assert str(caught.value) == f"model '{name(text).short}' not found"
    (store.layout.manifest(name("dir"))).mkdir(parents=True)
    with pytest.raises((ModelNotFound, OSError)):
        store.catalog.get(name("dir"))


@pytest.mark.parametrize("replaced", [True, False])
def test_a_model_that_changes_while_it_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, replaced: bool
) -> None:
    """Its blobs may be gone already: then the new model is read, or there is none."""
    add(store, "m", (MODEL_TYPE, llama()), (SYSTEM_TYPE, "old"))
    load = StoredModel.load
    changes = iter([True])

    def change_first(*args: Any) -> StoredModel:
        if next(changes, False):
            store.catalog.delete(name("m"))
            if replaced:
                add(store, "m", (MODEL_TYPE, llama()), (SYSTEM_TYPE, "new"))
        return load(*args)

    monkeypatch.setattr(StoredModel, "load", change_first)
    assert [model.system for model in store.catalog.list()] == (["new"] if replaced else [])
    assert caplog.text == ""


def test_known_models_are_those_read_before_and_not_changed_since(store: Store) -> None:
    """Without opening a file."""
    add(store, "m", (MODEL_TYPE, llama()))
    assert store.catalog.known(name("m")) is None
    read = store.catalog.get(name("m"))
    assert store.catalog.known(name("m")) is read
    assert store.catalog.known(name("other")) is None
    add(store, "m", (MODEL_TYPE, llama()), (PARAMS_TYPE, "{}"), at=7)
    assert store.catalog.known(name("m")) is None
    assert store.catalog.known(name("m")) is not store.catalog.get(name("m"))
    store.catalog.delete(name("m"))
    assert store.catalog.known(name("m")) is None


def test_list_is_newest_first(store: Store) -> None:
    """By whole seconds; among equals by name."""
    add(store, "old", at=1000)
    add(store, "b", at=2000.9)
    add(store, "a", at=2000.1)
    add(store, "other/new", at=3000)
    assert names(store) == ["other/new:latest", "a:latest", "b:latest", "old:latest"]


def test_list_follows_the_directory(store: Store) -> None:
    """Models that others add, change or remove are seen at the next call."""
    assert names(store) == []
    add(store, "a")
    first = store.catalog.get(name("a"))
    assert store.catalog.get(name("a")) is first
    path = store.layout.manifest(name("a"))
    data = json.loads(path.read_bytes())
    path.write_text(json.dumps(data, indent=1))
    assert store.catalog.get(name("a")).digest != first.digest
    shutil.copytree(path.parent, path.parent.with_name("b"))
    assert sorted(names(store)) == ["a:latest", "b:latest"]
    shutil.rmtree(path.parent)
    assert names(store) == ["b:latest"]


def test_strangers_among_the_manifests(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Impossible names, other depths, links and junk are passed over; all but the depths with a word in the log."""
    add(store, "a")
    library = "registry.ollama.ai/library"
    stray(store, f"{library}/a/.DS_Store")
    stray(store, f"{library}/junk/latest", "{")
    stray(store, f"{library}/short")
    stray(store, f"{library}/a/deep/er/file")
    (store.layout.manifests / library / "linked").mkdir()
    (store.layout.manifests / library / "linked" / "latest").symlink_to(store.layout.manifest(name("a")))
    assert names(store) == ["a:latest"]
    assert ".DS_Store" in caplog.text
    assert "junk/latest" in caplog.text
    assert "linked/latest" in caplog.text
    assert str(store.layout.root) not in caplog.text


# -- spelling ---------------------------------------------------------------------------------------------------------


def test_spelling_of_the_stored_model(store: Store) -> None:
    """Names are found in any case, and keep that in which they were written."""
    add(store, "Foo:V1")
    assert str(store.catalog.resolve(name("foo:v1"))) == "registry.ollama.ai/library/Foo:V1"
    assert store.catalog.resolve(name("REGISTRY.Ollama.AI/Library/FOO:v1")) == name("Foo:V1")
    assert store.catalog.resolve(name("bar")) == name("bar")


def test_spelling_is_per_part(store: Store) -> None:
    """A part takes the spelling of any stored model that has it: first of the most similar one."""
    add(store, "acme/Helper:v1")
    add(store, "luna:V1")
    assert str(store.catalog.resolve(name("new:v1"))) == "registry.ollama.ai/library/new:V1"
    assert store.catalog.resolve(name("ACME/helper:V1")) == name("acme/Helper:v1")
    assert store.catalog.resolve(name("helper")) == name("Helper")


def test_spelling_is_deterministic(store: Store) -> None:
    """With two spellings on the disk an exact one wins, else the first in order."""
    add(store, "FOO")
    add(store, "foo")
    assert store.catalog.resolve(name("foo")) == name("foo")
    assert store.catalog.resolve(name("FOO")) == name("FOO")
    assert store.catalog.resolve(name("Foo")) == name("FOO")
    assert store.catalog.resolve(name("Foo:1")) == name("FOO:1")


# -- changing ---------------------------------------------------------------------------------------------------------


def test_write_replaces(store: Store) -> None:
    """What only the former manifest named is returned, and goes only when asked."""
    add(store, "m", (MODEL_TYPE, llama()), (SYSTEM_TYPE, "old"), (LICENSE_TYPE, "MIT"))
    newer = manifest(store, (MODEL_TYPE, llama()), (SYSTEM_TYPE, "new"), (LICENSE_TYPE, "MIT"))
    unused = store.catalog.write(name("m"), newer)
    assert unused == {Digest.of(b"old")}
    assert store.blobs.has(Digest.of(b"old"))
    assert store.remove_unused(unused) == {Digest.of(b"old")}
    assert store.catalog.get(name("m")).system == "new"
    assert not store.blobs.has(Digest.of(b"old"))


def test_manifest_of_a_registry_is_kept_verbatim(store: Store) -> None:
    """Its bytes are its identity."""
    made = manifest(store, (MODEL_TYPE, llama()))
    data = json.dumps(json.loads(made.encode()) | {"annotations": {}}, indent=2).encode()
    store.catalog.write(name("m"), data)
    assert store.layout.manifest(name("m")).read_bytes() == data
    assert store.catalog.get(name("m")).digest == Digest.of(data).hex


def test_write_with_a_missing_blob(store: Store) -> None:
    """No manifest without its blobs; what was there stays."""
    former = add(store, "m")
    made = manifest(store, (SYSTEM_TYPE, "x"))
    store.blobs.remove(Digest.of(b"x"))
    with pytest.raises(BlobNotFound):
        store.catalog.write(name("m"), made)
    with pytest.raises(BlobNotFound):
        store.catalog.write(name("new"), made)
    assert store.catalog.get(name("m")).manifest == former
    assert names(store) == ["m:latest"]


def test_failed_write_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error on the way leaves the former manifest and no other file."""
    add(store, "m")
    before = store.layout.manifest(name("m")).read_bytes()
    made = manifest(store, (SYSTEM_TYPE, "x"))

    def fail(_fd: int) -> None:
        raise OSError("disk trouble")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk trouble"):
        store.catalog.write(name("m"), made)
    path = store.layout.manifest(name("m"))
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def test_copy(store: Store) -> None:
    """The copy has the same identity and a time of its own; blobs are not copied."""
    add(store, "a", at=1000)
    blobs = set(store.blobs.digests())
    store.catalog.copy(name("a"), name("ns/b:v2"))
    assert store.catalog.get(name("ns/b:v2")).digest == store.catalog.get(name("a")).digest
    assert names(store) == ["ns/b:v2", "a:latest"]
    assert set(store.blobs.digests()) == blobs


def test_copy_onto_itself_and_onto_another(store: Store) -> None:
    """Onto itself nothing happens; another model is replaced."""
    add(store, "a", at=1000)
    add(store, "b", (SYSTEM_TYPE, "x"), at=2000)
    store.catalog.copy(name("a"), name("a"))
    assert store.catalog.get(name("a")).modified_ns == 1000 * 10**9
    store.catalog.copy(name("a"), name("b"))
    assert store.catalog.get(name("b")).digest == store.catalog.get(name("a")).digest
    with pytest.raises(ModelNotFound):
        store.catalog.copy(name("nope"), name("c"))


def test_delete(store: Store) -> None:
    """Blobs that another model needs stay, the others go; so do empty directories."""
    add(store, "ns/a", (MODEL_TYPE, llama()), (SYSTEM_TYPE, "only a"))
    add(store, "b", (MODEL_TYPE, llama()))
    store.catalog.delete(name("ns/a"))
    assert names(store) == ["b:latest"]
    assert not (store.layout.manifests / "registry.ollama.ai" / "ns").exists()
    assert not store.blobs.has(Digest.of(b"only a"))
    assert store.blobs.has(Digest.of(llama()))
    store.catalog.delete(name("b"))
    assert list(store.blobs.digests()) == []
    assert not store.layout.manifests.exists()
    with pytest.raises(ModelNotFound):
        store.catalog.delete(name("b"))


def test_delete_of_a_copy(store: Store) -> None:
    """As long as one name is left, so are all blobs."""
    add(store, "a")
    store.catalog.copy(name("a"), name("b"))
    blobs = set(store.blobs.digests())
    store.catalog.delete(name("a"))
    assert set(store.blobs.digests()) == blobs


def test_delete_of_a_damaged_model(store: Store) -> None:
    """A manifest that cannot be read can be removed."""
    path = stray(store, "registry.ollama.ai/library/m/latest", "{")
    store.catalog.delete(name("m"))
    assert not path.exists()


def test_delete_next_to_a_damaged_model(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Another one's damage does not keep blobs alive, but is logged."""
    add(store, "m")
    stray(store, "registry.ollama.ai/library/bad/latest", "{")
    with caplog.at_level(logging.WARNING):
        store.catalog.delete(name("m"))
    assert "bad/latest" in caplog.text
    assert list(store.blobs.digests()) == []


def test_held_blobs_stay(store: Store) -> None:
    """What somebody is working with is not removed, and is no longer protected afterwards."""
    add(store, "m", (SYSTEM_TYPE, "x"), (LICENSE_TYPE, "y"))
    x, y = Digest.of(b"x"), Digest.of(b"y")
    with store.holding([x]) as hold, store.holding([x]):
        hold.add(y, y)
        store.catalog.delete(name("m"))
        assert set(store.blobs.digests()) == {x, y}
    assert store.remove_unused([x, y]) == {x, y}
    assert store.holds.digests() == frozenset()


def test_failing_removal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One blob that cannot be removed does not keep the others; its error is reported."""
    add(store, "m", (SYSTEM_TYPE, "x"), (LICENSE_TYPE, "y"))
    remove = BlobStore.remove

    def fail_once(blobs: BlobStore, digest: Digest) -> bool:
        if digest == Digest.of(b"x"):
            raise PermissionError("no")
        return remove(blobs, digest)

    monkeypatch.setattr(BlobStore, "remove", fail_once)
    with pytest.raises(PermissionError):
        store.catalog.delete(name("m"))
    assert list(store.blobs.digests()) == [Digest.of(b"x")]


def test_unused_blobs_stay_without_pruning(tmp_path: Path) -> None:
    """A store that is not to be pruned keeps them."""
    store = Store.open(tmp_path, prune=False)
    digest = store.blobs.put(b"x")
    assert store.remove_unused([digest]) == set()
    assert store.blobs.has(digest)


def test_go_template_setting(tmp_path: Path) -> None:
    """The operator can forbid Go templates."""
    store = Store.open(tmp_path, go_template=False)
    keys: list[Key] = [("tokenizer.x", ARRAY, (STRING, []))]
    add(store, "m", (MODEL_TYPE, llama(*keys)), (TEMPLATE_TYPE, "{{ .Prompt }}"))
    assert store.catalog.get(name("m")).template_mode.value == "jinja"


# -- other processes --------------------------------------------------------------------------------------------------


def test_a_model_that_is_replaced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blobs go with the old manifest, and the reader gets the new one."""
    ours, theirs = Store.open(tmp_path), Store.open(tmp_path)
    add(ours, "m", (SYSTEM_TYPE, "old"))
    read = files.read_regular
    chances = [True]

    def replaced_after(path: Path, limit: int) -> bytes:
        data = read(path, limit)
        if chances and path.name == "latest":
            chances.pop()
            theirs.remove_unused(theirs.catalog.write(name("m"), manifest(theirs, (SYSTEM_TYPE, "new"))))
        return data

    monkeypatch.setattr(files, "read_regular", replaced_after)
    assert ours.catalog.get(name("m")).system == "new"


def test_a_model_that_is_deleted_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not found: that blobs are missing says nothing about a model that is gone."""
    ours, theirs = Store.open(tmp_path), Store.open(tmp_path)
    add(ours, "m", (SYSTEM_TYPE, "old"))
    read = files.read_regular

    def deleted_after(path: Path, limit: int) -> bytes:
        data = read(path, limit)
        monkeypatch.setattr(files, "read_regular", read)
        theirs.catalog.delete(name("m"))
        return data

    monkeypatch.setattr(files, "read_regular", deleted_after)
    with pytest.raises(ModelNotFound):
        ours.catalog.get(name("m"))


def test_the_manifest_is_gone_for_good_before_its_blobs_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that fails in between has no model without its blobs."""
    add(store, "m", (SYSTEM_TYPE, "x"))
    steps: list[str] = []
    sync, remove = files.sync_directory, BlobStore.remove

    def note_sync(path: Path) -> None:
        steps.append(f"sync {path.name}")
        sync(path)

    def note_removal(blobs: BlobStore, digest: Digest) -> bool:
        steps.append("blob")
        return remove(blobs, digest)

    monkeypatch.setattr(files, "sync_directory", note_sync)
    monkeypatch.setattr(BlobStore, "remove", note_removal)
    store.catalog.delete(name("m"))
    assert steps == ["sync m", "blob", "blob"]
