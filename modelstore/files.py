"""Files that are either whole or not there, and files that are nothing but files."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

DIRECTORY_MODE: Final = 0o755
FILE_MODE: Final = 0o644


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


def make_directory(path: Path) -> None:
    """Have a directory, with all above it."""
    path.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Make renames and removals in a directory last. Some file systems cannot; they are left to themselves."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: Path, data: bytes, temporary: Path) -> None:
    """Put `data` at `path` at one moment, by way of `temporary`, which lies in the same directory."""
    make_directory(path.parent)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_empty_directories(root: Path) -> None:
    """Remove what holds no files below `root`, and `root` itself; links are not followed."""
    for directory, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):  # it is not empty, or somebody was faster
            os.rmdir(directory)
