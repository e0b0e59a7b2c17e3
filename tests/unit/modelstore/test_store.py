"""Opening a store."""

import os
import re
from pathlib import Path

import pytest

from modelstore.digest import Digest
from modelstore.errors import StoreError
from modelstore.store import Store


def old_blob(root: Path) -> Path:
    """A blob that nobody needs and nobody touched for decades."""
    path = root / "blobs" / Digest.of(b"x").file_name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    os.utime(path, (1000, 1000))
    return path


def test_open_makes_the_directory(tmp_path: Path) -> None:
    """A new store is empty and ready."""
    store = Store.open(tmp_path / "a" / "b")
    assert store.layout.blobs.is_dir()
    assert store.catalog.list() == []


def test_open_tidies_up(tmp_path: Path) -> None:
    """At start, unneeded blobs are removed."""
    path = old_blob(tmp_path)
    Store.open(tmp_path)
    assert not path.exists()


def test_open_without_pruning(tmp_path: Path) -> None:
    """Unless that is switched off; old names are mended all the same."""
    path = old_blob(tmp_path)
    colon = path.with_name("sha256:" + "1" * 64)
    colon.write_bytes(b"")
    Store.open(tmp_path, prune=False)
    assert path.exists()
    assert not colon.exists()


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """The error says what to look at."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        Store.open(tmp_path / "file" / "models")
    text = r"mkdir .*/file: not a directory: ensure path elements are traversable"
    assert re.fullmatch(text, str(caught.value))
