"""Files of other programs, brought into the store through an open descriptor; without a second copy where that can be.

    clone    the file system lets both files share their blocks (Btrfs, XFS, bcachefs, ZFS, APFS): no data is written
    copy     by the kernel (`copy_file_range`), or by reading and writing where the kernel cannot

What is hashed is the store's own file, so nothing that happens to the source, then or later, changes what was verified.
Every position is given explicitly: the descriptor's own offset belongs to whoever opened it.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeAlias

from modelstore import files
from modelstore.digest import Digest
from modelstore.errors import DigestMismatch, DiskFull, NotAFile
from modelstore.store import Store

Count: TypeAlias = Callable[[int, int], None]
"""Hears how many bytes are done, of how many, after each window. What it raises ends the work."""

WINDOW: Final = 8 << 20
"""Bytes that are copied and hashed at once."""
SYNC: Final = 256 << 20
"""Bytes after which a copy is flushed, so that the last flush is short and the page cache keeps other things."""
FICLONE: Final = 0x40049409
"""`_IOW(0x94, 9, int)` of <linux/fs.h>, as on x86 and ARM."""
CLONE_NOOWNERCOPY: Final = 2
"""Of <sys/clonefile.h>: the clone belongs to us, even if we are root."""

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
_CANNOT: Final = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ETXTBSY)
"""The kernel cannot copy between these two files."""
_COPY_RANGE: Final[Any] = getattr(os, "copy_file_range", None)


class Way(Enum):
    """How a blob came into the store."""

    PRESENT = "present"
    CLONED = "cloned"
    COPIED = "copied"


def reflink(source: int, path: Path, ioctl: Callable[[int, int, int], object] = fcntl.ioctl) -> bool:
    """Make `path` share the source's blocks, as Linux does it; False, and no file, where that cannot be."""
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        ioctl(target, FICLONE, source)
    except OSError:
        path.unlink()
        return False
    finally:
        os.close(target)
    return True


def clonefile(source: int, path: Path, call: Callable[[int, int, bytes, int], int] | None = None) -> bool:
    """The same, as macOS does it. `call` is `fclonefileat`."""
    if call is None:
        import ctypes

        call = ctypes.CDLL(None).fclonefileat
    at_cwd = -2
    if call(source, at_cwd, os.fsencode(path), CLONE_NOOWNERCOPY):
        return False
    lift: Callable[[Path, int], None] | None = getattr(os, "chflags", None)
    if lift is not None:  # a source that is protected from changes has a protected clone
        lift(path, 0)
    return True


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the operating system offers."""

    clone: Callable[[int, Path], bool] = clonefile if sys.platform == "darwin" else reflink
    copy: Callable[[int, int, int, int, int], int] | None = _COPY_RANGE
    """`os.copy_file_range`: source, target, count, position in the source, position in the target → bytes copied."""
    free: Callable[[Path], int] = lambda directory: shutil.disk_usage(directory).free
    """Bytes that may still be written."""


KERNEL: Final = Kernel()


def take(store: Store, source: int, expected: Digest, report: Count, kernel: Kernel = KERNEL) -> Way:
    """Have the content of an open regular file as the blob `expected`, or nothing of it.

    Raises `NotAFile`, `DigestMismatch`, `DiskFull`, `OSError`, and what `report` raises.
    """
    size = _size(source)
    if store.blobs.touch(expected):
        return Way.PRESENT
    directory = store.layout.blobs
    files.make_directory(directory)
    path = store.layout.temporary(directory)
    try:
        way, got = _bring(source, path, size, report, kernel)
        if got != expected:
            raise DigestMismatch(str(expected), str(got))
        store.blobs.adopt(path, expected)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise DiskFull from error
        raise
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return way


def _size(source: int) -> int:
    """Bytes of an open file. Raises `NotAFile` for anything else, and for one that is not open for reading."""
    status = os.fstat(source)
    if not stat.S_ISREG(status.st_mode):
        raise NotAFile
    try:
        os.pread(source, 1, 0)
    except OSError as error:
        if error.errno == errno.EBADF:
            raise NotAFile from error
        raise
    return status.st_size


def _bring(source: int, path: Path, size: int, report: Count, kernel: Kernel) -> tuple[Way, Digest]:
    """Make `path` hold the source's content; its digest."""
    if kernel.clone(source, path):
        return Way.CLONED, _digest(path, report)
    if size > (free := kernel.free(path.parent)):
        raise DiskFull(size, free)
    return Way.COPIED, _copied(source, path, size, report, kernel)


def _digest(path: Path, report: Count) -> Digest:
    state, buffer, done = hashlib.sha256(), memoryview(bytearray(WINDOW)), 0
    fd = files.open_regular(path)
    try:
        size = os.fstat(fd).st_size
        while count := os.preadv(fd, [buffer], done):
            state.update(buffer[:count])
            done += count
            report(done, size)
    finally:
        os.close(fd)
    return Digest(state.hexdigest())


def _copied(source: int, path: Path, size: int, report: Count, kernel: Kernel) -> Digest:
    """Copy `size` bytes, fewer if the source ends before them."""
    state, done = hashlib.sha256(), 0
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        sys.audit("llamad.blob.created")
        copy = _Copy(source, target, kernel)
        while content := copy.window(done, min(WINDOW, size - done)):
            sys.audit("llamad.blob.written")
            state.update(content)
            if done // SYNC != (done + len(content)) // SYNC:
                os.fsync(target)
            done += len(content)
            report(done, size)
    finally:
        os.close(target)
    return Digest(state.hexdigest())


class _Copy:
    """A copy, window by window. Once the kernel has said that it cannot, it is not asked again."""

    def __init__(self, source: int, target: int, kernel: Kernel) -> None:
        self._source = source
        self._target = target
        self._range = kernel.copy
        self._buffer = memoryview(bytearray(WINDOW))

    def window(self, position: int, count: int) -> memoryview:
        """Copy up to `count` bytes at `position`; what the target holds there now. Empty at the end."""
        by_kernel = self._by_kernel(position, count)
        if by_kernel:
            return self._read(self._target, position, by_kernel)
        content = self._read(self._source, position, count)
        at = 0
        while at < len(content):
            at += os.pwrite(self._target, content[at:], position + at)
        return content

    def _by_kernel(self, position: int, count: int) -> int:
        """Bytes that the kernel has copied: 0 at the end, or if it cannot."""
        if self._range is None or not count:
            return 0
        try:
            return self._range(self._source, self._target, count, position, position)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            self._range = None
            return 0

    def _read(self, fd: int, position: int, count: int) -> memoryview:
        return self._buffer[: os.preadv(fd, [self._buffer[:count]], position)]
