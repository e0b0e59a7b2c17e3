"""One at a time, among threads and among processes. A lock of another process is one on another descriptor."""

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, StoreBusy
from modelstore.manifest import SYSTEM_TYPE, Layer, Manifest
from modelstore.names import Name
from modelstore.store import Store
from modelstore.storelock import StoreLock

DATA = b"Be brief."
DIGEST = Digest.of(DATA)
MANIFEST = Manifest((Layer(SYSTEM_TYPE, DIGEST, len(DATA)),))
FIRST, SECOND = Name.parse("first"), Name.parse("second")


def is_free(directory: Path) -> bool:
    """Whether a process that came now would get it."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def test_held_from_the_first_entry_to_the_last_exit(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path)
    with lock:
        with lock:
            assert not is_free(tmp_path)
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def test_given_back_after_an_error(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path)
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert is_free(tmp_path)
    with lock:
        assert not is_free(tmp_path)


def test_a_process_that_does_not_let_go_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """Whatever it is in the middle of, nothing is changed."""
    impatient = StoreLock(tmp_path, patience=0)
    with StoreLock(tmp_path), pytest.raises(StoreBusy, match="locked by another process"), impatient:
        pytest.fail("two have it")
    with impatient:
        assert not is_free(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF, errno.ENOSYS])
def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """There the threads of this process are kept apart, and that is all."""

    def refuse(_fd: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    monkeypatch.setattr(fcntl, "flock", refuse)
    with StoreLock(tmp_path) as nothing:
        assert nothing is None
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    with StoreLock(tmp_path / "absent"), StoreLock(None):
        pass
    (tmp_path / "read").mkdir(mode=0o500)
    with StoreLock(tmp_path / "read"):
        assert not is_free(tmp_path / "read")
    assert list((tmp_path / "read").iterdir()) == []


def stopped(monkeypatch: pytest.MonkeyPatch, where: str) -> tuple[threading.Event, threading.Event]:
    """Have the first call of a function of `modelstore.files` wait; the events say that it does, and let it go on."""
    from modelstore import files

    reached, go_on = threading.Event(), threading.Event()
    called = getattr(files, where)

    def wait(*arguments: object) -> object:
        if not reached.is_set():
            reached.set()
            go_on.wait()
        return called(*arguments)

    monkeypatch.setattr(files, where, wait)
    return reached, go_on


def test_a_delete_spares_what_another_process_is_about_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until the manifest is there: one store checks its blobs, and the other would remove them then."""
    ours, theirs = Store.open(tmp_path), Store.open(tmp_path)
    ours.blobs.put(DATA)
    ours.catalog.write(FIRST, MANIFEST)
    reached, go_on = stopped(monkeypatch, "write_atomically")
    writing = threading.Thread(target=ours.catalog.write, args=(SECOND, MANIFEST))
    deleting = threading.Thread(target=theirs.catalog.delete, args=(FIRST,))
    writing.start()
    reached.wait()
    deleting.start()
    assert not is_free(tmp_path)
    assert theirs.catalog.get(FIRST).system == DATA.decode()
    go_on.set()
    for thread in (writing, deleting):
        thread.join()
    assert theirs.catalog.names() == [SECOND]
    assert ours.catalog.get(SECOND).system == DATA.decode()


def test_a_manifest_is_refused_when_another_process_was_faster_to_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round: the blob is missed, and nothing is written."""
    ours, theirs = Store.open(tmp_path), Store.open(tmp_path)
    ours.blobs.put(DATA)
    ours.catalog.write(FIRST, MANIFEST)
    reached, go_on = stopped(monkeypatch, "remove")
    refusals: list[BlobNotFound] = []

    def write() -> None:
        try:
            ours.catalog.write(SECOND, MANIFEST)
        except BlobNotFound as error:
            refusals.append(error)

    deleting = threading.Thread(target=theirs.catalog.delete, args=(FIRST,))
    writing = threading.Thread(target=write)
    deleting.start()
    reached.wait()
    writing.start()
    go_on.set()
    for thread in (deleting, writing):
        thread.join()
    assert [error.digest for error in refusals] == [str(DIGEST)]
    assert theirs.catalog.names() == []
    assert list(theirs.blobs.digests()) == []


def test_a_store_that_is_busy_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a start goes on without tidying up."""
    monkeypatch.setattr("modelstore.storelock.PATIENCE", 0.0)
    store = Store.open(tmp_path)
    store.blobs.put(DATA)
    store.catalog.write(FIRST, MANIFEST)
    orphan = store.blobs.put(b"orphan")
    os.utime(store.blobs.path(orphan), (1000, 1000))
    with StoreLock(tmp_path):
        Store.open(tmp_path)
        for change in (
            lambda: store.catalog.delete(FIRST),
            lambda: store.catalog.copy(FIRST, SECOND),
            lambda: store.catalog.write(SECOND, MANIFEST),
        ):
            with pytest.raises(StoreBusy):
                change()
    assert store.catalog.names() == [FIRST]
    assert set(store.blobs.digests()) == {DIGEST, orphan}
