"""The store as one object."""

import logging
import os
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from modelstore import files, prune
from modelstore.blobs import BlobStore
from modelstore.catalog import Catalog
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, DigestMismatch, StoreError
from modelstore.extras import Extra, usable
from modelstore.holds import Hold, Holds
from modelstore.layout import Layout
from modelstore.manifest import Manifest
from modelstore.manifests import reason
from modelstore.names import Name

log = logging.getLogger(__name__)


class Store:
    """A models directory: its paths, its blobs, its models, and who is working with what.

    Safe from several threads. Nearly everything reads or writes files: not for an event loop.
    """

    def __init__(
        self, root: Path, *, prune: bool = True, go_template: bool | None = None, extras: Iterable[Path] = ()
    ) -> None:
        self.layout = Layout(root)
        self.extras = [Extra.at(extra, go_template) for extra in extras]
        """Stores whose models are there too, and which are never written to."""
        self.blobs = BlobStore(self.layout, [extra.blobs for extra in self.extras])
        self.holds = Holds(self.layout.root)
        others = [extra.catalog for extra in self.extras]
        self.catalog = Catalog(self.layout, self.blobs, self.holds, go_template, others)
        self.prune = prune
        """Whether blobs that are no longer needed are removed; deleting a model does so in any case."""

    @classmethod
    def open(
        cls, root: Path, *, prune: bool = True, go_template: bool | None = None, extras: Iterable[Path] = ()
    ) -> "Store":
        """A store ready for use: made if it is not there, and tidied up if `prune`.

        `go_template` forces (True) or forbids (False) the Go templates of models that have a second template in their
        weights; None leaves it to the models. Of `extras`, stores that are only read, those that cannot be read are
        left out. Raises `StoreError` when the directory cannot be made.
        """
        store = cls(root, prune=prune, go_template=go_template, extras=usable(extras, root))
        store._start()
        return store

    def holding(self, digests: Iterable[Digest] = ()) -> AbstractContextManager[Hold]:
        """Keep blobs from being removed while a manifest for them is in the making; add more to what it yields."""
        return self.holds.holding(digests)

    def remove_unused(self, digests: Iterable[Digest]) -> set[Digest]:
        """Delete those that no model needs any more, unless nothing is to be pruned; returns what is gone."""
        return self.catalog.remove_unused(digests) if self.prune else set()

    def bring(self, digest: Digest) -> bool:
        """Have a blob of a store that is only read in this one; False if none has it, or not as it should be.

        To be called while it is held. Raises `DiskFull`, `OSError` of our own disk.
        """
        from modelstore import clone

        path = self.blobs.elsewhere(digest)
        if path is None:
            return False
        try:
            source = files.open_regular(path)
        except OSError as error:
            log.warning("cannot read blob %s: %s", digest, reason(error))
            return False
        try:
            clone.take(self, source, digest, lambda done, total: None)
        except DigestMismatch as error:
            log.warning("damaged blob in a read-only store: %s", error)
            return False
        finally:
            os.close(source)
        return True

    def copy(self, source: Name, destination: Name) -> None:
        """Give a model a second name; the blobs of one that is only read here come along. Raises `ModelNotFound`."""
        from modelstore.transaction import Transaction

        data = self.catalog.elsewhere(source)
        if data is None:
            self.catalog.copy(source, destination)
            return
        if source == destination:
            return
        with Transaction(self) as transaction:
            for digest in sorted(Manifest.parse(data).digests):
                if not transaction.has(digest):
                    raise BlobNotFound(str(digest))
            transaction.write(destination, data)

    def _start(self) -> None:
        try:
            files.make_directory(self.layout.blobs)
        except OSError as error:
            what = f"mkdir {error.filename or self.layout.blobs}: {reason(error).lower()}"
            raise StoreError(f"{what}: ensure path elements are traversable") from error
        prune.rename_old_blobs(self.layout)
        if self.prune:
            prune.at_start(self, time.time())
