"""The blobs of a model in the making: kept while it is made, and taken out again if it never gets a manifest."""

import logging
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from modelstore.blobs import BlobWriter
from modelstore.digest import Digest
from modelstore.errors import StoreError
from modelstore.holds import Hold
from modelstore.manifest import Manifest
from modelstore.names import Name

if TYPE_CHECKING:
    from modelstore.store import Store

log = logging.getLogger(__name__)


class Transaction:
    """Leaving the `with` block by an exception removes what was written in it, unless somebody else needs it by then.

    Nothing is removed that was there before.
    """

    def __init__(self, store: "Store") -> None:
        self.store = store
        self._holding = store.holding()
        self._hold: Hold | None = None
        self._new: list[Digest] = []

    def keep(self, digests: Iterable[Digest]) -> None:
        """Protect blobs, there or still to come, until the block ends."""
        assert self._hold is not None, "used outside of its block"
        self._hold.add(*digests)

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there; then it is kept. One that is only elsewhere is brought here."""
        self.keep([digest])
        if self.store.blobs.touch(digest):
            return True
        if not self.store.bring(digest):
            return False
        self._new.append(digest)
        return True

    def put(self, data: bytes, digest: Digest) -> bool:
        """Have a blob with this content, whose digest it is; False if it was there already."""
        self.keep([digest])
        if self.store.blobs.touch(digest, len(data)):
            return False
        self._new.append(digest)
        self.store.blobs.put(data)
        return True

    def commit(self, writer: BlobWriter, expected: Digest | None = None) -> Digest:
        """Finish a blob that was not there when its writing began. Raises like `BlobWriter.commit`."""
        if expected is not None:
            self.keep([expected])
        digest = writer.commit(expected)
        self._new.append(digest)
        self.keep([digest])
        return digest

    def adopt(self, path: Path, digest: Digest) -> None:
        """Move a complete file, whose digest it is, to its place among the blobs; nothing is left at `path`."""
        self.keep([digest])
        if not self.store.blobs.touch(digest, path.stat().st_size):
            self._new.append(digest)
        self.store.blobs.adopt(path, digest)

    def made(self, digest: Digest) -> bool:
        """Whether the blob was written in this block."""
        return digest in self._new

    def write(self, name: Name, manifest: Manifest | bytes) -> frozenset[Digest]:
        """Make it a model; returns what only its predecessor of that name used. Raises `BlobNotFound`."""
        replaced = self.store.catalog.write(name, manifest)
        self._new.clear()
        return replaced

    def __enter__(self) -> "Transaction":
        self._hold = self._holding.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold = None
        self._holding.__exit__(kind, error, trace)
        if kind is not None:
            self._undo()

    def _undo(self) -> None:
        try:
            self.store.catalog.remove_unused(self._new)
        except (StoreError, OSError) as failure:  # the first error is the one to tell
            log.warning("blobs of an unfinished model stay: %s", failure)
