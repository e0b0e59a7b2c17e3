"""Blobs: files named by their digest, written once and never changed.

    create → write … → commit(expected) | cancel

A commit flushes to the disk and renames, so a blob is complete or absent. Whoever uses a blob that is there already
touches it: a recent time is what protects it from pruning until a manifest names it, here and in other programs on the
same directory.

A store may look into others as well, which it only reads (`elsewhere`): a blob that it has not itself is found there.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from modelstore import files
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, DigestMismatch, DiskFull, InvalidDigest, InvalidManifest
from modelstore.layout import Layout

MAX_READ: Final = 64 << 20
"""Bytes of the largest blob that is read as one piece."""


class BlobStore:
    """The blobs of one store. Every method is one or a few system calls, safe from any thread."""

    def __init__(self, layout: Layout, elsewhere: "Sequence[BlobStore]" = ()) -> None:
        self._layout = layout
        self._elsewhere = elsewhere
        self._doubtful: dict[Digest, tuple[int, ...]] = {}
        """Blobs whose content was found to be another one, and what their files were like then."""

    def path(self, digest: Digest) -> Path:
        """Where the blob lies, or would."""
        own = self._layout.blob(digest)
        if not self._elsewhere or files.is_regular(own):
            return own
        return self.elsewhere(digest) or own

    def elsewhere(self, digest: Digest) -> Path | None:
        """The file of a blob in a store that is only read; None if none has it."""
        paths = (other.path(digest) for other in self._elsewhere)
        return next((path for path in paths if files.is_regular(path)), None)

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
        """Of all blobs that are there, in no order; not of those elsewhere."""
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
        """Store these bytes. Raises `DiskFull`."""
        digest = Digest.of(data)
        if self.touch(digest, len(data)):
            return digest
        with self.create(len(data)) as writer:
            writer.write(data)
            return writer.commit(digest)

    def adopt(self, path: Path, digest: Digest) -> None:
        """Move a complete file, whose content the caller has verified, to its place; nothing is left at `path`."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            sys.audit("llamad.blob.synced")
            os.fchmod(fd, files.FILE_MODE)
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        self._place(path, digest, size)

    def doubt(self, digest: Digest) -> None:
        """Note that the content of this store's file is not the blob: nothing new is built on it.

        That holds until the file is replaced, as by the next pull, or the process ends.
        """
        if (stamp := _stamp(self._layout.blob(digest))) is not None:
            self._doubtful[digest] = stamp

    def is_sound(self, digest: Digest) -> bool:
        """Whether the blob is there, here or elsewhere, and nothing is known against it."""
        return self.has(digest) and not self._is_doubtful(digest)

    def touch(self, digest: Digest, size: int | None = None) -> bool:
        """Mark the blob as in use now; False if it is not there, only elsewhere, or not sound.

        Nor is it sound if it should have `size` bytes and has not: a program that does not rename broke off.
        """
        own = self._layout.blob(digest)
        if not files.is_regular(own) or self._is_doubtful(digest):
            return False
        try:
            if size is not None and own.lstat().st_size != size:
                return False
            os.utime(own, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            # a store that somebody else owns can still be read
        sys.audit("llamad.blob.touched")
        return True

    def remove(self, digest: Digest) -> bool:
        """Delete the blob; False if it was not there."""
        try:
            self._layout.blob(digest).unlink()
        except FileNotFoundError:
            return False
        sys.audit("llamad.blob.removed")
        return True

    def _place(self, path: Path, digest: Digest, size: int) -> None:
        """Give a complete file its final name, unless that is taken already."""
        if self.touch(digest, size):
            path.unlink(missing_ok=True)
            return
        os.utime(path)
        files.make_directory(self._layout.blobs)
        path.replace(self._layout.blob(digest))
        sys.audit("llamad.blob.renamed")
        files.sync_directory(self._layout.blobs)
        sys.audit("llamad.blob.placed")

    def _is_doubtful(self, digest: Digest) -> bool:
        """Whether `doubt` was told about the very file that is there."""
        if digest not in self._doubtful:
            return False
        if self._doubtful[digest] == _stamp(self._layout.blob(digest)):
            return True
        self._doubtful.pop(digest, None)
        return False


class BlobWriter:
    """A blob that is being written. Leaving the `with` block without a commit cancels it, and so does any error.

    Another thread may cancel it: what is being done then is finished first.
    """

    def __init__(self, store: BlobStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._hash = hashlib.sha256()
        with files.counting_room():
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._open = True
        self._turn = threading.RLock()
        self.size = 0
        """Bytes written so far."""
        sys.audit("llamad.blob.created")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises `DiskFull`, `OSError`; then the room that was taken is free again."""
        with self._turn, self._unless_failed():
            files.write_all(self._fd, data)
            self._hash.update(data)
            self.size += len(data)
            sys.audit("llamad.blob.written")

    def commit(self, expected: Digest | None = None) -> Digest:
        """Make the blob part of the store. Raises `DigestMismatch`, `DiskFull`, `OSError`; then nothing stays."""
        with self._turn, self._unless_failed():
            digest = Digest(self._hash.hexdigest())
            if expected is not None and expected != digest:
                raise DigestMismatch(str(expected), str(digest))
            with files.counting_room():
                os.fsync(self._fd)
                sys.audit("llamad.blob.synced")
                os.fchmod(self._fd, files.FILE_MODE)
                self._store._place(self._path, digest, self.size)  # pyright: ignore[reportPrivateUsage]  # the two are one
            self._open = False
            self._close()
            return digest

    def cancel(self) -> None:
        """Forget what was written. Does nothing after a commit."""
        with self._turn:
            if not self._open:
                return
            self._open = False
            try:
                self._path.unlink(missing_ok=True)
            finally:
                self._close()

    @contextlib.contextmanager
    def _unless_failed(self) -> Generator[None]:
        """Cancel when anything goes wrong inside."""
        assert self._open, "it was committed or cancelled"
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                self.cancel()
            raise

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # what matters has been said by `fsync`
            os.close(self._fd)

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Differs when a file was replaced or written to; None when there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
