"""Blobs are complete or absent."""

import errno
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, DigestMismatch, DiskFull, InvalidManifest
from modelstore.store import Store

DATA = b"some weights"
DIGEST = Digest.of(DATA)
OLD = 1_000_000_000


def files_of(store: Store) -> list[str]:
    return sorted(path.name for path in store.layout.blobs.iterdir())


def test_write_and_read(store: Store) -> None:
    """What was committed is there under its digest, readable by all."""
    with store.blobs.create() as writer:
        writer.write(DATA[:4])
        writer.write(memoryview(DATA)[4:])
        assert writer.size == len(DATA)
        assert not store.blobs.has(DIGEST)
        assert writer.commit() == DIGEST
    path = store.blobs.path(DIGEST)
    assert files_of(store) == [path.name]
    assert path.read_bytes() == store.blobs.read(DIGEST) == DATA
    assert path.stat().st_mode & 0o777 == 0o644
    assert store.blobs.size(DIGEST) == len(DATA)
    assert list(store.blobs.digests()) == [DIGEST]


def test_cancelled(store: Store) -> None:
    """A block that ends without a commit, by an error or not, leaves nothing."""
    with store.blobs.create() as writer:
        writer.write(DATA)
    with pytest.raises(TypeError), store.blobs.create() as writer:
        writer.write(None)  # pyright: ignore[reportArgumentType]  # any error will do
    assert files_of(store) == []


def test_mismatch(store: Store) -> None:
    """Content of another digest is thrown away."""
    with store.blobs.create() as writer:
        writer.write(b"other")
        with pytest.raises(DigestMismatch) as caught:
            writer.commit(DIGEST)
    assert str(caught.value) == f'digest mismatch, expected "{DIGEST}", got "{Digest.of(b"other")}"'
    assert files_of(store) == []


def test_reuse_touches(store: Store) -> None:
    """Storing what is there already marks it as in use and keeps the file."""
    store.blobs.put(DATA)
    path = store.blobs.path(DIGEST)
    for store_again in (lambda: store.blobs.put(DATA), lambda: commit(store, DATA)):
        os.utime(path, (OLD, OLD))
        inode = path.stat().st_ino
        assert store_again() == DIGEST
        assert path.stat().st_mtime > OLD
        assert path.stat().st_ino == inode
    assert files_of(store) == [path.name]


def commit(store: Store, data: bytes) -> Digest:
    with store.blobs.create() as writer:
        writer.write(data)
        return writer.commit()


def test_absent(store: Store) -> None:
    """All that needs a blob names the one that is missing."""
    for use in (store.blobs.open, store.blobs.size, store.blobs.read):
        with pytest.raises(BlobNotFound) as caught:
            use(DIGEST)
        assert str(caught.value) == f'blob "{DIGEST}" not found'
    assert not store.blobs.touch(DIGEST)
    assert not store.blobs.remove(DIGEST)


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_what_is_no_file_is_no_blob(store: Store, tmp_path: Path, kind: str) -> None:
    """Links and special files count as absent, and a new blob replaces a link."""
    path = store.blobs.path(DIGEST)
    (tmp_path / "secret").write_bytes(b"secret")
    match kind:
        case "link":
            path.symlink_to(tmp_path / "secret")
        case "directory":
            path.mkdir()
        case _:
            os.mkfifo(path)
    assert not store.blobs.has(DIGEST)
    assert not store.blobs.touch(DIGEST)
    assert list(store.blobs.digests()) == []
    with pytest.raises(BlobNotFound):
        store.blobs.open(DIGEST)
    if kind != "directory":
        store.blobs.put(DATA)
        assert store.blobs.read(DIGEST) == DATA
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_adopt(store: Store, tmp_path: Path) -> None:
    """A finished file moves to its place; if that is taken, it is only removed."""
    for _ in range(2):
        (tmp_path / "part").write_bytes(DATA)
        (tmp_path / "part").chmod(0o600)
        store.blobs.adopt(tmp_path / "part", DIGEST)
        assert not (tmp_path / "part").exists()
        assert store.blobs.read(DIGEST) == DATA
        assert store.blobs.path(DIGEST).stat().st_mode & 0o777 == 0o644


def test_read_limit(store: Store) -> None:
    """A blob that is to be read as a whole has a limit."""
    digest = store.blobs.put(DATA)
    assert store.blobs.read(digest, len(DATA)) == DATA
    with pytest.raises(InvalidManifest):
        store.blobs.read(digest, len(DATA) - 1)


def test_no_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that cannot fit is refused before a byte is written."""

    def disk_usage(_path: Path) -> SimpleNamespace:
        return SimpleNamespace(free=10)

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    with pytest.raises(DiskFull) as caught:
        store.blobs.create(11)
    assert (caught.value.needed, caught.value.available) == (11, 10)
    with store.blobs.create(10):
        pass
    assert files_of(store) == []


def test_disk_fills_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one that turns out not to fit; the file goes."""

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with store.blobs.create() as writer:
        writer.write(DATA)
        with pytest.raises(DiskFull, match=r"^insufficient disk space$"):
            writer.commit()
    assert files_of(store) == []


def test_two_writers_of_one_blob(store: Store) -> None:
    """Both succeed, and one file remains."""
    start = threading.Barrier(2)
    results: list[Digest] = []

    def write() -> None:
        with store.blobs.create() as writer:
            writer.write(DATA)
            start.wait()
            results.append(writer.commit(DIGEST))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DIGEST, DIGEST]
    assert files_of(store) == [DIGEST.file_name]
