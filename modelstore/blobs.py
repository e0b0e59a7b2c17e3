"""Blobs: files named by their digest, written once and never changed.

    create → write … → commit(expected) | cancel

A commit flushes to the disk and renames, so a blob is complete or absent. Whoever uses a blob that is there already
touches it: a recent time is what protects it from pruning until a manifest names it, here and in other programs on the
same directory.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from modelstore import files
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, DigestMismatch, DiskFull, InvalidDigest, InvalidManifest
from modelstore.layout import Layout

MAX_READ: Final = 64 << 20
"""Bytes of the largest blob that is read as one piece."""
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


class BlobStore:
    """The blobs of one store. Every method is one or a few system calls, safe from any thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def path(self, digest: Digest) -> Path:
        """Where the blob lies, or would."""
        return self._layout.blob(digest)

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there: a regular file, not a link."""
        return files.is_regular(self.path(digest))

    def size(self, digest: Digest) -> int:
        """Bytes. Raises `BlobNotFound`."""
        if not self.has(digest):
            raise BlobNotFound(str(digest))
        return self.path(digest).lstat().st_size

    def open(self, digest: Digest) -> BinaryIO:
        """The blob for reading. Raises `BlobNotFound`."""
        try:
            return os.fdopen(files.open_regular(self.path(digest)), "rb")
        except FileNotFoundError:
            raise BlobNotFound(str(digest)) from None

    def read(self, digest: Digest, limit: int = MAX_READ) -> bytes:
        """The whole content. Raises `BlobNotFound`, or `InvalidManifest` for one over `limit` bytes."""
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidManifest(f"blob {digest} exceeds {limit} bytes")
        return data

    def digests(self) -> Iterator[Digest]:
        """Of all blobs that are there, in no order."""
        try:
            entries = list(os.scandir(self._layout.blobs))
        except FileNotFoundError:
            return
        for entry in entries:
            try:
                digest = Digest.parse(entry.name)
            except InvalidDigest:
                continue
            if entry.name == digest.file_name and entry.is_file(follow_symlinks=False):
                yield digest

    def create(self, size: int | None = None) -> "BlobWriter":
        """Begin a blob, of `size` bytes if that is known. Raises `DiskFull` when there is no room for it."""
        directory = self._layout.blobs
        files.make_directory(directory)
        if size is not None and size > (free := shutil.disk_usage(directory).free):
            raise DiskFull(size, free)
        return BlobWriter(self, self._layout.temporary(directory))

    def put(self, data: bytes) -> Digest:
        """Store these bytes."""
        digest = Digest.of(data)
        if self.touch(digest):
            return digest
        with self.create(len(data)) as writer:
            writer.write(data)
            return writer.commit(digest)

    def adopt(self, path: Path, digest: Digest) -> None:
        """Move a complete file, whose content the caller has verified, to its place; nothing is left at `path`."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            os.fchmod(fd, files.FILE_MODE)
        finally:
            os.close(fd)
        self._place(path, digest)

    def touch(self, digest: Digest) -> bool:
        """Mark the blob as in use now; False if it is not there."""
        if not self.has(digest):
            return False
        try:
            os.utime(self.path(digest), follow_symlinks=False)
        except FileNotFoundError:
            return False
        except PermissionError:  # a store that somebody else owns can still be read
            return True
        return True

    def remove(self, digest: Digest) -> bool:
        """Delete the blob; False if it was not there."""
        try:
            self.path(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def _place(self, path: Path, digest: Digest) -> None:
        """Give a complete file its final name, unless that is taken already."""
        if self.touch(digest):
            path.unlink(missing_ok=True)
            return
        os.utime(path)
        files.make_directory(self._layout.blobs)
        path.replace(self.path(digest))
        files.sync_directory(self._layout.blobs)


class BlobWriter:
    """A blob that is being written. Leaving the `with` block without a commit cancels it."""

    def __init__(self, store: BlobStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._hash = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        self._open = True
        self.size = 0
        """Bytes written so far."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises `DiskFull`."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _full(error) from error
        self._hash.update(data)
        self.size += len(data)

    def commit(self, expected: Digest | None = None) -> Digest:
        """Make the blob part of the store. Raises `DigestMismatch` (then nothing stays), `DiskFull`."""
        digest = Digest(self._hash.hexdigest())
        if expected is not None and expected != digest:
            self.cancel()
            raise DigestMismatch(str(expected), str(digest))
        try:
            os.fsync(self._file.fileno())
            os.fchmod(self._file.fileno(), files.FILE_MODE)
            self._file.close()
            self._store._place(self._path, digest)  # pyright: ignore[reportPrivateUsage]  # the two are one
        except OSError as error:
            self.cancel()
            raise _full(error) from error
        self._open = False
        return digest

    def cancel(self) -> None:
        """Forget what was written. Does nothing after a commit."""
        if not self._open:
            return
        self._open = False
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


def _full(error: OSError) -> Exception:
    return DiskFull() if error.errno in _NO_SPACE else error
