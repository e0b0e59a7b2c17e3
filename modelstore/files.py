"""Files that are either whole or not there, and files that are nothing but files."""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Final

from modelstore.errors import DiskFull

DIRECTORY_MODE: Final = 0o755
FILE_MODE: Final = 0o644
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
_TRIES: Final = 5
"""Another process that tidies up may take an empty directory away before there is a file in it."""


def is_regular(path: Path) -> bool:
    """Whether a regular file, not a link to one, lies there."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def open_regular(path: Path) -> int:
    """A descriptor for reading. Links, devices, pipes and directories raise `FileNotFoundError`, as if absent."""
    try:
        # Without O_NONBLOCK opening a FIFO would wait for its other end.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if is_regular(path):
            raise
        raise FileNotFoundError(error.errno, "not a regular file", str(path)) from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise FileNotFoundError("not a regular file")


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file, at most `limit` bytes and one more to show that there are too many."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(limit + 1)


@contextlib.contextmanager
def counting_room() -> Generator[None]:
    """Raises `DiskFull` in place of the error of a disk that is full, or of a quota that is used up."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise DiskFull from error
        raise


def make_directory(path: Path) -> list[Path]:
    """Have a directory, with all above it; returns those that were missing, the outermost first.

    Raises `DiskFull`, `OSError`; then none of them stays.
    """
    made: list[Path] = []
    try:
        for attempt in reversed(range(_TRIES)):
            try:
                _make_missing(path, made)
            except FileNotFoundError:
                if not attempt:
                    raise
            else:
                break
    except BaseException:
        remove_directories(made)
        raise
    return made


def _make_missing(path: Path, made: list[Path]) -> None:
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        try:
            with counting_room():
                directory.mkdir(DIRECTORY_MODE)
        except FileExistsError:
            if directory.is_dir():  # somebody was faster
                continue
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory)) from None
        made.append(directory)
        sync_directory(directory.parent)
        sys.audit("llamad.directory.made")


def remove_directories(made: list[Path]) -> None:
    """Take back what `make_directory` made, except where something lies by now."""
    for directory in reversed(made):
        with contextlib.suppress(OSError):
            directory.rmdir()


def sync_directory(path: Path) -> None:
    """Make renames and removals in a directory last. Some file systems cannot; they are left to themselves."""
    with contextlib.suppress(OSError):  # it may also be gone by now
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write everything, however little the system takes at once. Raises `DiskFull`, `OSError`."""
    view = memoryview(data)
    with counting_room():
        while view:
            view = view[os.write(fd, view) :]


def write_atomically(path: Path, data: bytes, temporary: Path) -> None:
    """Put `data` at `path` at one moment, by way of `temporary`, which lies in the same directory.

    Raises `DiskFull`, `OSError`; then nothing has changed.
    """
    made: list[Path] = []
    try:
        with counting_room():
            _write_synced(_create(temporary, made), data)
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        remove_directories(made)
        raise
    sys.audit("llamad.file.renamed")
    sync_directory(path.parent)
    sys.audit("llamad.file.placed")


def _create(path: Path, made: list[Path]) -> int:
    """A descriptor of a new file; the directories that it needed are added to `made`."""
    for attempt in reversed(range(_TRIES)):
        made += make_directory(path.parent)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except FileNotFoundError:
            if not attempt:
                raise
        else:
            sys.audit("llamad.file.created")
            return fd
    raise AssertionError("the last attempt raises")


def _write_synced(fd: int, data: bytes) -> None:
    """Write a new file and close it."""
    try:
        write_all(fd, data)
        sys.audit("llamad.file.written")
        os.fsync(fd)
        sys.audit("llamad.file.synced")
    finally:
        os.close(fd)


def remove(path: Path) -> None:
    """Remove a file for good: what follows may rely on it. Raises `FileNotFoundError`, `OSError`."""
    path.unlink()
    sync_directory(path.parent)
    sys.audit("llamad.file.removed")


def remove_empty_directories(root: Path) -> None:
    """Remove what holds no files below `root`, and `root` itself; links are not followed."""
    for directory, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):  # it is not empty, or somebody was faster
            os.rmdir(directory)
