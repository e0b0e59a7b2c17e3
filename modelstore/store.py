"""The store as one object."""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from modelstore import files, prune
from modelstore.blobs import BlobStore
from modelstore.catalog import Catalog
from modelstore.digest import Digest
from modelstore.errors import StoreError
from modelstore.holds import Hold, Holds
from modelstore.layout import Layout


class Store:
    """A models directory: its paths, its blobs, its models, and who is working with what.

    Safe from several threads. Nearly everything reads or writes files: not for an event loop.
    """

    def __init__(self, root: Path, *, prune: bool = True, go_template: bool | None = None) -> None:
        self.layout = Layout(root)
        self.blobs = BlobStore(self.layout)
        self.holds = Holds()
        self.catalog = Catalog(self.layout, self.blobs, self.holds, go_template)
        self.prune = prune
        """Whether blobs that are no longer needed are removed; deleting a model does so in any case."""

    @classmethod
    def open(cls, root: Path, *, prune: bool = True, go_template: bool | None = None) -> "Store":
        """A store ready for use: made if it is not there, and tidied up if `prune`.

        `go_template` forces (True) or forbids (False) the Go templates of models that have a second template in their
        weights; None leaves it to the models. Raises `StoreError` when the directory cannot be made.
        """
        store = cls(root, prune=prune, go_template=go_template)
        store._start()
        return store

    def holding(self, digests: Iterable[Digest] = ()) -> AbstractContextManager[Hold]:
        """Keep blobs from being removed while a manifest for them is in the making; add more to what it yields."""
        return self.holds.holding(digests)

    def remove_unused(self, digests: Iterable[Digest]) -> set[Digest]:
        """Delete those that no model needs any more, unless nothing is to be pruned; returns what is gone."""
        return self.catalog.remove_unused(digests) if self.prune else set()

    def _start(self) -> None:
        try:
            files.make_directory(self.layout.blobs)
        except OSError as error:
            raise StoreError(f"{error}: ensure path elements are traversable") from error
        prune.rename_old_blobs(self.layout)
        if self.prune:
            prune.prune(self.layout, self.catalog, self.blobs, time.time())
