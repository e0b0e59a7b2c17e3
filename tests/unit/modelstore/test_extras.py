"""Stores that are only read: found, listed, built upon, and never changed."""

import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from modelstore.create import create
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, ModelNotFound, ReadOnlyModel
from modelstore.extras import usable
from modelstore.manifest import MODEL_TYPE, SYSTEM_TYPE, Layer, Manifest
from modelstore.names import Name
from modelstore.prune import prune
from modelstore.store import Store
from modelstore.transaction import Transaction
from tests.unit.modelstore import tinygguf
from tests.unit.modelstore.shop import no_pull, request_of

FAR = 4_000_000_000.0
"""A time at which everything is old."""


def name(text: str) -> Name:
    return Name.parse(text)


def add(root: Path, text: str, system: str) -> None:
    """A model in a store of its own or of others."""
    store = Store.open(root)
    digest = store.blobs.put(tinygguf.model())
    body = {"model": text, "files": {"w.gguf": str(digest)}, "system": system}
    create(store, request_of(body), lambda event: None, pull=no_pull)


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Everything in a store, with its times."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Somebody else's store, with two models."""
    root = tmp_path / "other"
    add(root, "theirs", "theirs")
    add(root, "both", "their both")
    return root


@pytest.fixture
def store(tmp_path: Path, other: Path) -> Store:
    """Our own, which looks there."""
    add(tmp_path / "own", "both", "our both")
    return Store.open(tmp_path / "own", extras=[other])


def systems(store: Store) -> dict[str, str]:
    return {model.name.short: model.system for model in store.catalog.list()}


def test_models_are_listed_and_found(store: Store) -> None:
    """As if they were our own, and in any case; ours hide those of the same name."""
    assert systems(store) == {"both:latest": "our both", "theirs:latest": "theirs"}
    assert [each.short for each in store.catalog.names()] == ["both:latest", "theirs:latest"]
    model = store.catalog.get(store.catalog.resolve(name("THEIRS")))
    assert model.header is not None
    assert model.weights[0].is_relative_to(store.extras[0].layout.root)
    assert store.catalog.known(name("theirs")) is model
    assert store.catalog.known(name("nope")) is None


def test_hiding_minds_no_case(store: Store, tmp_path: Path, other: Path) -> None:
    """One name in two spellings is one model."""
    add(tmp_path / "third", "Both", "another")
    add(tmp_path / "third", "More", "more")
    store = Store.open(store.layout.root, extras=[other, tmp_path / "third"])
    assert systems(store) == {"both:latest": "our both", "theirs:latest": "theirs", "More:latest": "more"}
    assert store.catalog.resolve(name("BOTH")) == name("both")


def test_deleting_is_refused(store: Store, other: Path) -> None:
    """With the reason; what hid another one uncovers it."""
    before = tree(other)
    with pytest.raises(ReadOnlyModel, match=r"'theirs:latest' cannot be deleted: .*read-only") as caught:
        store.catalog.delete(name("theirs"))
    assert str(other) not in str(caught.value)
    store.catalog.delete(name("both"))
    assert systems(store)["both:latest"] == "their both"
    with pytest.raises(ReadOnlyModel):
        store.catalog.delete(name("both"))
    with pytest.raises(ModelNotFound):
        store.catalog.delete(name("nope"))
    assert tree(other) == before


def test_pruning_leaves_them_alone(store: Store, other: Path) -> None:
    """However old and unneeded anything there is."""
    junk = other / "blobs" / Digest.of(b"junk").file_name
    junk.write_bytes(b"junk")
    before = tree(other)
    assert prune(store, FAR) == []
    assert tree(other) == before


def test_copying_brings_the_blobs(store: Store, other: Path) -> None:
    """The copy is the same model, and lives when theirs is gone."""
    before = tree(other)
    theirs = store.catalog.get(name("theirs"))
    store.copy(name("theirs"), name("mine"))
    assert tree(other) == before
    shutil.rmtree(other)
    mine = store.catalog.get(name("mine"))
    assert (mine.digest, mine.system) == (theirs.digest, "theirs")
    assert all(store.blobs.has(digest) for digest in mine.manifest.digests)
    assert all(path.is_relative_to(store.layout.root) for path in mine.weights)


def test_copying_onto_itself(store: Store) -> None:
    """Nothing happens."""
    store.copy(name("theirs"), name("theirs"))
    with pytest.raises(ReadOnlyModel):
        store.catalog.delete(name("theirs"))
    with pytest.raises(ModelNotFound):
        store.copy(name("nope"), name("x"))


def test_building_upon_one(store: Store, other: Path) -> None:
    """Inherited layers come into our store; nothing is linked."""
    body = {"model": "mine", "from": "theirs", "system": "mine"}
    create(store, request_of(body), lambda event: None, pull=no_pull)
    before = tree(store.layout.root)
    shutil.rmtree(other)
    mine = store.catalog.get(name("mine"))
    assert (mine.system, mine.parent_model) == ("mine", "theirs:latest")
    assert all(store.blobs.has(digest) for digest in mine.manifest.digests)
    assert mine.weights[0].stat().st_nlink == 1
    assert tree(store.layout.root) == before


def test_writing_under_their_name(store: Store, other: Path) -> None:
    """The new model is ours, and hides theirs."""
    before = tree(other)
    body = {"model": "theirs", "from": "theirs", "system": "changed"}
    create(store, request_of(body), lambda event: None, pull=no_pull)
    assert systems(store)["theirs:latest"] == "changed"
    assert tree(other) == before
    store.catalog.delete(name("theirs"))
    assert systems(store)["theirs:latest"] == "theirs"


def test_damaged_blob_is_not_brought(store: Store, other: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What has another content than its name says does not get into our store."""
    digest = Digest.of(b"theirs")
    (other / "blobs" / digest.file_name).write_bytes(b"forged")
    before = {path for path in tree(store.layout.root) if "blobs" in path}
    with pytest.raises(BlobNotFound):
        store.copy(name("theirs"), name("mine"))
    assert "damaged blob" in caplog.text
    assert {path for path in tree(store.layout.root) if "blobs" in path} == before
    with pytest.raises(ModelNotFound):
        store.catalog.get(name("mine"))


def test_damage_there_is_no_damage_here(store: Store, other: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Junk among their manifests is logged; our models are listed, and ours can be pruned."""
    library = other / "manifests" / "registry.ollama.ai" / "library"
    (library / "theirs" / "latest").write_text("{")
    (library / "theirs" / ".DS_Store").write_text("")
    assert systems(store) == {"both:latest": "our both"}
    assert "bad manifest" in caplog.text
    old = store.blobs.put(b"old")
    assert [each.digest for each in prune(store, FAR)] == [old]
    shutil.rmtree(other)
    assert systems(store) == {"both:latest": "our both"}
    with pytest.raises(ModelNotFound):
        store.catalog.get(name("theirs"))


def test_unreadable_directory(store: Store, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights that were taken away while we run hide their models and no others."""
    scandir, opened = os.scandir, os.open

    def refuse(path: Any) -> None:
        if Path(path).is_relative_to(other / "manifests"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def list_directory(path: Any) -> Any:
        refuse(path)
        return scandir(path)

    def open_file(path: Any, *arguments: Any, **options: Any) -> int:
        refuse(path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "scandir", list_directory)
    monkeypatch.setattr(os, "open", open_file)
    assert systems(store) == {"both:latest": "our both"}
    with pytest.raises(ModelNotFound):
        store.catalog.get(name("theirs"))


def test_which_stores_are_used(tmp_path: Path, other: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ours and what is named twice are passed over, what is not there is logged; an empty one may get models."""
    own, missing, empty, file = tmp_path / "own", tmp_path / "missing", tmp_path / "empty", tmp_path / "file"
    for directory in (own, empty):
        directory.mkdir()
    file.write_text("")
    (tmp_path / "link").symlink_to(own)
    with caplog.at_level(logging.INFO):
        found = usable([own, tmp_path / "link", missing, other, other / ".." / "other", file, empty], own)
    assert found == [other, empty]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.split()[2] for text in warnings] == [str(missing), str(file)]


def test_unreadable_store_is_left_out(tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is that we may not look."""
    scandir = os.scandir

    def deny(path: Path) -> object:
        if path == other / "blobs":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    assert usable([other], tmp_path / "own") == []


def test_our_model_with_a_blob_of_theirs(store: Store, other: Path) -> None:
    """A blob that our store has lost is found there, and stays there."""
    weights = Digest.of(tinygguf.model())
    store.blobs.remove(weights)
    model = store.catalog.get(name("both"))
    assert model.header is not None
    assert store.blobs.size(weights) == len(tinygguf.model())
    assert not store.blobs.remove(weights)
    assert store.blobs.has(weights)
    made = Manifest((Layer(MODEL_TYPE, weights, 1), Layer(SYSTEM_TYPE, Digest.of(b"theirs"), 6)))
    with pytest.raises(BlobNotFound):
        store.catalog.write(name("new"), made)


def test_building_from_a_file_that_is_there(store: Store, tmp_path: Path) -> None:
    """A client that was told that the blob need not be sent gets its model."""
    other = Store.open(tmp_path / "third")
    weights = other.blobs.put(tinygguf.model(general__name="another"))
    store = Store.open(store.layout.root, extras=[tmp_path / "third"])
    assert store.blobs.is_sound(weights)
    body = {"model": "made", "files": {"w.gguf": str(weights)}}
    create(store, request_of(body), lambda event: None, pull=no_pull)
    assert store.layout.blob(weights).is_file()


def test_failing_brings_nothing(store: Store) -> None:
    """What was brought for a model that never came about goes again."""
    before = tree(store.layout.root)

    def fail() -> None:
        with Transaction(store) as transaction:
            assert transaction.has(Digest.of(b"theirs"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert {path for path in tree(store.layout.root) if "blobs" in path} == {path for path in before if "blobs" in path}
