"""Files that come in by descriptor: shared or copied, verified on the store's side, all or nothing."""

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelstore import clone
from modelstore.clone import Kernel, Way, take
from modelstore.digest import Digest
from modelstore.errors import DigestMismatch, DiskFull, NotAFile
from modelstore.store import Store

DATA = bytes(range(256)) * 1000
DIGEST = Digest.of(DATA)


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Generator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA)
    return path


def files_of(store: Store) -> list[str]:
    return sorted(path.name for path in store.layout.blobs.iterdir())


def no_clone(source: int, path: Path) -> bool:
    return False


def no_copy(source: int, target: int, count: int, from_: int, to: int) -> int:
    raise OSError(errno.EXDEV, "no")


def silent(done: int, total: int) -> None:
    pass


class SharingDisk:
    """A file system that can share blocks: what it shares costs nothing, what is copied is counted."""

    def __init__(self) -> None:
        self.copied = 0

    def clone(self, source: int, path: Path) -> bool:
        path.write_bytes(os.pread(source, os.fstat(source).st_size, 0))
        return True

    def copy(self, source: int, target: int, count: int, from_: int, to: int) -> int:
        self.copied += count
        return os.pwrite(target, os.pread(source, count, from_), to)


def test_where_blocks_can_be_shared_no_byte_is_copied(store: Store, source: Path) -> None:
    """Not even room for it is asked for."""
    disk = SharingDisk()
    with opened(source) as fd:
        way = take(store, fd, DIGEST, silent, Kernel(disk.clone, disk.copy, free=lambda _: 0))
    assert (way, disk.copied) == (Way.CLONED, 0)
    assert store.blobs.read(DIGEST) == DATA
    assert files_of(store) == [DIGEST.file_name]
    assert store.blobs.path(DIGEST).stat().st_mode & 0o777 == 0o644


def test_elsewhere_the_kernel_copies(store: Store, source: Path) -> None:
    disk = SharingDisk()
    with opened(source) as fd:
        assert take(store, fd, DIGEST, silent, Kernel(no_clone, disk.copy)) is Way.COPIED
    assert disk.copied == len(DATA)
    assert store.blobs.read(DIGEST) == DATA


def test_on_this_disk(store: Store, source: Path) -> None:
    """Whatever it can; and the source stays as it is, with a place of its own."""
    with opened(source) as fd:
        assert take(store, fd, DIGEST, silent) in (Way.CLONED, Way.COPIED)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    source.write_bytes(b"changed later")
    assert store.blobs.read(DIGEST) == DATA
    assert store.blobs.path(DIGEST).stat().st_ino != source.stat().st_ino


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, 400), window=st.integers(1, 130), sync=st.integers(1, 200), gives_up=st.integers(0, 400))
def test_every_size_arrives_whole(tmp_path: Path, size: int, window: int, sync: int, gives_up: int) -> None:
    """In windows of any size, copied in pieces of any size, by a kernel that gives up at any point."""
    store = Store.open(tmp_path / "models")
    data = os.urandom(size)
    source = tmp_path / "source"
    source.write_bytes(data)
    counts: list[tuple[int, int]] = []

    def copy(source: int, target: int, count: int, from_: int, to: int) -> int:
        if from_ >= gives_up:
            raise OSError(errno.EXDEV, "no")
        return os.pwrite(target, os.pread(source, max(1, count // 2), from_), to)

    with pytest.MonkeyPatch.context() as patch, opened(source) as fd:
        patch.setattr(clone, "WINDOW", window)
        patch.setattr(clone, "SYNC", sync)
        take(store, fd, Digest.of(data), lambda done, total: counts.append((done, total)), Kernel(no_clone, copy))
    assert store.blobs.read(Digest.of(data)) == data
    assert [done for done, _ in counts] == sorted({done for done, _ in counts})
    assert not size or counts[-1] == (size, size)
    store.blobs.remove(Digest.of(data))


def test_a_kernel_without_the_call_reads_and_writes(store: Store, source: Path) -> None:
    with opened(source) as fd:
        assert take(store, fd, DIGEST, silent, Kernel(no_clone, None)) is Way.COPIED
    assert store.blobs.read(DIGEST) == DATA


def test_what_is_there_is_not_read(store: Store, source: Path) -> None:
    store.blobs.put(DATA)
    source.write_bytes(b"")
    os.utime(store.blobs.path(DIGEST), (1, 1))
    with opened(source) as fd:
        assert take(store, fd, DIGEST, silent) is Way.PRESENT
    assert store.blobs.path(DIGEST).stat().st_mtime > 1


@pytest.mark.parametrize("kernel", [Kernel(SharingDisk().clone), Kernel(no_clone), Kernel(no_clone, no_copy)])
def test_other_content_is_refused_and_leaves_nothing(store: Store, source: Path, kernel: Kernel) -> None:
    other = Digest.of(b"other")
    with opened(source) as fd, pytest.raises(DigestMismatch) as caught:
        take(store, fd, other, silent, kernel)
    assert (caught.value.expected, caught.value.got) == (str(other), str(DIGEST))
    assert files_of(store) == []


@pytest.mark.parametrize("kernel", [Kernel(SharingDisk().clone), Kernel(no_clone), Kernel(no_clone, no_copy)])
def test_whoever_counts_may_end_it(store: Store, source: Path, kernel: Kernel) -> None:
    class EnoughError(BaseException):
        pass

    def enough(done: int, total: int) -> None:
        assert len(files_of(store)) == 1
        raise EnoughError

    with opened(source) as fd, pytest.raises(EnoughError):
        take(store, fd, DIGEST, enough, kernel)
    assert files_of(store) == []


def test_what_is_written_to_the_source_meanwhile_is_noticed(
    store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash is that of what was copied."""
    monkeypatch.setattr(clone, "WINDOW", 1000)
    with opened(source, os.O_RDWR) as fd:

        def spoil(done: int, total: int) -> None:
            os.pwrite(fd, b"spoiled", 100_000)

        with pytest.raises(DigestMismatch):
            take(store, fd, DIGEST, spoil, Kernel(no_clone))
    assert files_of(store) == []


def test_what_is_written_to_the_source_behind_the_copy_changes_nothing(
    store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "WINDOW", 1000)
    with opened(source, os.O_RDWR) as fd:

        def spoil(done: int, total: int) -> None:
            os.pwrite(fd, b"spoiled", 0)

        take(store, fd, DIGEST, spoil, Kernel(no_clone))
    assert store.blobs.read(DIGEST) == DATA


def test_a_source_that_shrinks_is_refused(store: Store, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clone, "WINDOW", 1000)
    with opened(source, os.O_RDWR) as fd, pytest.raises(DigestMismatch):
        take(store, fd, DIGEST, lambda done, total: os.ftruncate(fd, 5000), Kernel(no_clone))
    assert files_of(store) == []


def test_room_is_asked_for_before_anything_is_written(store: Store, source: Path) -> None:
    kernel = Kernel(no_clone, SharingDisk().copy, free=lambda _: len(DATA) - 1)
    with opened(source) as fd, pytest.raises(DiskFull) as caught:
        take(store, fd, DIGEST, silent, kernel)
    assert (caught.value.needed, caught.value.available) == (len(DATA), len(DATA) - 1)
    assert files_of(store) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_is_named_and_gets_its_room_back(store: Store, source: Path, code: int) -> None:
    def copy(source: int, target: int, count: int, from_: int, to: int) -> int:
        os.pwrite(target, b"some", 0)
        raise OSError(code, "full")

    with opened(source) as fd, pytest.raises(DiskFull, match="insufficient disk space"):
        take(store, fd, DIGEST, silent, Kernel(no_clone, copy))
    assert files_of(store) == []


def test_a_disk_that_fails_says_so(store: Store, source: Path) -> None:
    def copy(source: int, target: int, count: int, from_: int, to: int) -> int:
        raise OSError(errno.EIO, "broken")

    with opened(source) as fd, pytest.raises(OSError, match="broken"):
        take(store, fd, DIGEST, silent, Kernel(no_clone, copy))
    assert files_of(store) == []


def test_only_files_that_can_be_read(store: Store, source: Path, tmp_path: Path) -> None:
    """A directory, a device, a pipe, a file open for writing or for nothing at all."""
    os.mkfifo(tmp_path / "fifo")
    descriptors = [
        os.open(tmp_path, os.O_RDONLY),
        os.open("/dev/zero", os.O_RDONLY),
        os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK),
        os.open(source, os.O_WRONLY),
        *([os.open(source, os.O_PATH)] if sys.platform == "linux" else []),
    ]
    for fd in descriptors:
        with pytest.raises(NotAFile):
            take(store, fd, DIGEST, silent)
        os.close(fd)
    assert files_of(store) == []


def test_linux_is_asked_to_share_blocks(source: Path, tmp_path: Path) -> None:
    """The call goes to the new file, and names the old one."""
    calls: list[tuple[int, int]] = []

    def ioctl(target: int, request: int, source: int) -> None:
        calls.append((request, source))
        os.write(target, b"shared")

    with opened(source) as fd:
        assert clone.reflink(fd, tmp_path / "new", ioctl)
        assert calls == [(0x40049409, fd)]
    assert (tmp_path / "new").read_bytes() == b"shared"


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY])
def test_where_linux_cannot_share_nothing_is_left(source: Path, tmp_path: Path, code: int) -> None:
    def ioctl(target: int, request: int, source: int) -> None:
        raise OSError(code, "no")

    with opened(source) as fd:
        assert not clone.reflink(fd, tmp_path / "new", ioctl)
    assert not (tmp_path / "new").exists()


def test_macos_is_asked_to_share_blocks(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int, bytes, int]] = []

    def call(source: int, directory: int, path: bytes, flags: int) -> int:
        calls.append((source, directory, path, flags))
        Path(os.fsdecode(path)).touch()
        return 0

    with opened(source) as fd:
        assert clone.clonefile(fd, tmp_path / "new", call)
    assert calls == [(fd, -2, os.fsencode(tmp_path / "new"), 2)]


def test_where_macos_cannot_share_it_says_so(tmp_path: Path) -> None:
    def call(source: int, directory: int, path: bytes, flags: int) -> int:
        return -1

    assert not clone.clonefile(0, tmp_path / "new", call)
