"""Blobs that somebody works with and that no manifest names yet.

A create or a pull holds the digests of its layers from before it looks whether they are there until its manifest is
written. Nothing that is held is removed. Other processes do not see it: there the lock alone decides, and a blob that
one of them removed in between is missed when the manifest is to be written.
"""

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from modelstore.digest import Digest
from modelstore.storelock import StoreLock


class Holds:
    """Who needs what, and the lock under which that is decided. One for each store."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory` is locked to keep other processes out; None: there are none."""
        self.lock = StoreLock(directory)
        """Held for moments only: looking who needs a blob and removing it, or checking blobs and writing a manifest."""
        self._counts: Counter[Digest] = Counter()

    def digests(self) -> frozenset[Digest]:
        """All that is held now."""
        with self.lock.threads:
            return frozenset(self._counts)

    @contextmanager
    def holding(self, digests: Iterable[Digest] = ()) -> "Generator[Hold]":
        """Hold these, and what is added meanwhile, until the block ends."""
        hold = Hold(self)
        hold.add(*digests)
        try:
            yield hold
        finally:
            hold.release()

    def count(self, digest: Digest, change: int) -> None:
        """Note one holder more or less; waits while somebody in this process decides what to remove."""
        with self.lock.threads:
            self._counts[digest] += change
            if not self._counts[digest]:
                del self._counts[digest]


class Hold:
    """The digests of one operation."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._digests: set[Digest] = set()

    def add(self, *digests: Digest) -> None:
        """Hold more; twice is once."""
        for digest in digests:
            if digest not in self._digests:
                self._digests.add(digest)
                self._holds.count(digest, 1)

    def release(self) -> None:
        """Let go of all."""
        for digest in self._digests:
            self._holds.count(digest, -1)
        self._digests.clear()
