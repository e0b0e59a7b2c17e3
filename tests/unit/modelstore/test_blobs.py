"""Blobs are complete or absent."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, DigestMismatch, DiskFull, InvalidManifest
from modelstore.store import Store

DATA = b"some weights"
DIGEST = Digest.of(DATA)
OLD = 1_000_000_000
WRITE = os.write


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


FAILURES = {
    errno.ENOSPC: (DiskFull, r"^insufficient disk space$"),
    errno.EDQUOT: (DiskFull, r"^insufficient disk space$"),
    errno.EIO: (OSError, "Input/output error"),
}


def failing(number: int, after: int = 0) -> Callable[..., int]:
    """A system call that succeeds so often before it fails; in place of writes it takes one byte at a time."""
    left = after

    def call(fd: int, data: bytes | memoryview = b"") -> int:
        nonlocal left
        if not left:
            raise OSError(number, os.strerror(number))
        left -= 1
        return WRITE(fd, data[:1])

    return call


@pytest.mark.parametrize("number", FAILURES)
def test_a_write_that_fails_in_the_middle_frees_what_was_taken(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """At once, even for one who goes on holding the writer."""
    kind, text = FAILURES[number]
    with store.blobs.create() as writer:
        writer.write(DATA)
        monkeypatch.setattr(os, "write", failing(number, after=3))
        with pytest.raises(kind, match=text):
            writer.write(DATA)
        assert files_of(store) == []
        with pytest.raises(AssertionError):
            writer.commit()


@pytest.mark.parametrize("number", FAILURES)
def test_a_flush_that_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Some disks say only then that they are full."""
    kind, text = FAILURES[number]
    monkeypatch.setattr(os, "fsync", failing(number))
    with store.blobs.create() as writer:
        writer.write(DATA)
        with pytest.raises(kind, match=text):
            writer.commit(DIGEST)
        assert files_of(store) == []


@pytest.mark.parametrize("number", FAILURES)
def test_a_rename_that_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """So does anything else on the way to the final name."""
    kind, text = FAILURES[number]

    def fail(_path: Path, _target: Path) -> Path:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(kind, match=text):
        store.blobs.put(DATA)
    assert files_of(store) == []


def test_a_system_that_takes_a_byte_at_a_time_gets_everything(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write may always be shorter than asked for."""
    monkeypatch.setattr(os, "write", failing(errno.EIO, after=len(DATA)))
    with store.blobs.create() as writer:
        writer.write(DATA)
        assert writer.commit(DIGEST) == DIGEST
    assert store.blobs.read(DIGEST) == DATA


def test_no_room_for_another_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may run out of files before it runs out of bytes."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(DiskFull):
        store.blobs.create()


def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a crash of the machine leaves a blob that is named like its content and empty."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(fd: int) -> None:
        steps.append("sync " + ("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"))
        fsync(fd)

    def note_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    store.blobs.put(DATA)
    assert steps == ["sync file", "rename", "sync directory"]


def test_a_file_of_the_wrong_size_is_replaced(store: Store) -> None:
    """Another program may have broken off while it wrote a blob in its place."""
    path = store.blobs.path(DIGEST)
    for store_again in (lambda: store.blobs.put(DATA), lambda: commit(store, DATA)):
        path.write_bytes(DATA[:3])
        assert not store.blobs.touch(DIGEST, len(DATA))
        store_again()
        assert store.blobs.read(DIGEST) == DATA
    assert files_of(store) == [path.name]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_store_that_can_only_be_read(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Its blobs count as there, though nobody can mark them as in use."""
    store.blobs.put(DATA)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "utime", refuse)
    assert store.blobs.touch(DIGEST)
    assert store.blobs.put(DATA) == DIGEST


def test_cancelled_by_another_thread_while_it_writes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write comes to its end first: its descriptor may belong to another file a moment later."""
    writing, go_on = threading.Event(), threading.Event()
    fds: list[int] = []

    def slow(fd: int, data: memoryview) -> int:
        writing.set()
        go_on.wait()
        fds.append(os.fstat(fd).st_size)  # raises if it was closed
        return WRITE(fd, data)

    writer = store.blobs.create()
    monkeypatch.setattr(os, "write", slow)
    threads = [threading.Thread(target=writer.write, args=(DATA,)), threading.Thread(target=writer.cancel)]
    threads[0].start()
    writing.wait()
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert fds == [0]
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
