"""Every blob against its digest: what is damaged, what is missing, what nobody needs.

Hashing runs at the speed of the disk and holds one piece of a file at a time. Whoever listens can end it between two
pieces, by raising out of `report`.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from modelstore import files
from modelstore.blobs import BlobStore
from modelstore.catalog import Catalog
from modelstore.digest import CHUNK, Digest
from modelstore.errors import ModelNotFound
from modelstore.manifests import Entry, reason
from modelstore.names import Name
from modelstore.progress import Progress, Report

if TYPE_CHECKING:
    from modelstore.store import Store

STEP: Final = 64 << 20
"""Bytes between two events about one blob."""

VERIFYING: Final = "verifying"
"""An event about a large blob, on the way."""
OK: Final = "ok"
UNUSED: Final = "unused"
"""Complete, and no model needs it."""
MISSING: Final = "missing"
CORRUPT: Final = "corrupt"
"""The content has another digest, or another size than the manifest says."""
UNREADABLE: Final = "unreadable"
INVALID: Final = "invalid"
"""A manifest that cannot be read, or a file among manifests that is none."""
DAMAGED: Final = (MISSING, CORRUPT, UNREADABLE, INVALID)


class Finding(Progress, frozen=True, omit_defaults=True):
    """What became of a blob or a manifest, and in the end the sum.

    `status` is one of the words above; at the end `success` or `damaged`.
    """

    manifest: str = ""
    """Of an INVALID one: its path below the directory of manifests."""
    size: int = 0
    """Bytes of the file; of a missing one, as its manifest says. At the end, of all that was hashed."""
    models: list[str] = []
    """Those that use it; at the end, those that are damaged."""
    found: str = ""
    """The digest of a CORRUPT one."""
    reason: str = ""
    read_only: bool = False
    """It lies in a store that is only read."""
    blobs: int | None = None
    damaged: int | None = None
    unused: int | None = None
    """How many; at the end."""


@dataclass(slots=True)
class _Use:
    """Who needs a blob, and how large it is to be."""

    models: list[str] = field(default_factory=list[str])
    sizes: set[int] = field(default_factory=set[int])


@dataclass(slots=True)
class _Tally:
    """What was found so far, and who is told."""

    report: Report
    blobs: int = 0
    size: int = 0
    damaged: int = 0
    unused: int = 0
    models: set[str] = field(default_factory=set[str])

    def add(self, finding: Finding) -> None:
        self.blobs += bool(finding.digest)
        self.size += finding.size if finding.status != MISSING else 0
        self.unused += finding.status == UNUSED
        if finding.status in DAMAGED:
            self.damaged += 1
            self.models.update(finding.models)
        self.report(finding)

    def end(self) -> None:
        self.report(
            Finding(
                "damaged" if self.damaged else "success",
                size=self.size,
                models=sorted(self.models),
                blobs=self.blobs,
                damaged=self.damaged,
                unused=self.unused,
            )
        )


def verify(store: "Store", report: Report, model: Name | None = None) -> None:
    """Check all blobs, also of stores that are only read; or those of one model, in its stored spelling.

    A damaged blob of our own store is not built upon from then on (`BlobStore.doubt`), so that a pull replaces it.
    Raises `ModelNotFound`, and what `report` raises; what cannot be read is reported.
    """
    shelves = [_Shelf(store.catalog, store.blobs), *(_Shelf(e.catalog, e.blobs, True) for e in store.extras)]
    tally = _Tally(report)
    if model is None:
        for shelf in shelves:
            shelf.check(list(shelf.catalog.entries()), tally, with_unused=True)
    else:
        shelf, entry = _find(shelves, model)
        shelf.check([entry], tally, with_unused=False)
    tally.end()


def _find(shelves: "Iterable[_Shelf]", model: Name) -> "tuple[_Shelf, Entry]":
    for shelf in shelves:
        for entry in shelf.catalog.entries():
            if entry.name == model:
                return shelf, entry
    raise ModelNotFound(model.short)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """One store to look through."""

    catalog: Catalog
    blobs: BlobStore
    read_only: bool = False

    def check(self, entries: list[Entry], tally: _Tally, *, with_unused: bool) -> None:
        uses: dict[Digest, _Use] = {}
        for entry in entries:
            name = entry.name.short if entry.name else ""
            if entry.manifest is None:
                models = [name] if name else []
                tally.add(
                    Finding(INVALID, manifest=entry.place, models=models, reason=entry.reason, read_only=self.read_only)
                )
                continue
            for layer in (*entry.manifest.layers, *([entry.manifest.config] if entry.manifest.config else [])):
                use = uses.setdefault(layer.digest, _Use())
                use.sizes.add(layer.size)
                if name not in use.models:
                    use.models.append(name)
        for digest in sorted(uses, key=lambda digest: (uses[digest].models, digest)):
            self._check_blob(digest, uses[digest], tally)
        if with_unused:
            for digest in sorted(set(self.blobs.digests()) - set(uses)):
                self._check_blob(digest, _Use(), tally)

    def _check_blob(self, digest: Digest, use: _Use, tally: _Tally) -> None:
        finding = self._finding(digest, use, tally.report)
        if finding.status == MISSING and digest not in self.catalog.references():
            return  # its last model was deleted meanwhile
        if finding.found and not self.read_only:
            self.blobs.doubt(digest)
        tally.add(finding)

    def _finding(self, digest: Digest, use: _Use, report: Report) -> Finding:
        def result(status: str, size: int = 0, *, found: str = "", reason: str = "") -> Finding:
            return Finding(
                status, str(digest), size=size, models=use.models, found=found, reason=reason, read_only=self.read_only
            )

        path = self.blobs.path(digest)
        try:
            fd = files.open_regular(path)
        except FileNotFoundError:
            if os.path.lexists(path):
                return result(UNREADABLE, reason="not a regular file")
            return result(MISSING, max(use.sizes, default=0))
        except OSError as error:
            return result(UNREADABLE, reason=reason(error))
        try:
            size = os.fstat(fd).st_size
            got = _hash(fd, digest, size, report)
        except OSError as error:
            return result(UNREADABLE, reason=reason(error))
        finally:
            os.close(fd)
        if got != digest:
            return result(CORRUPT, size, found=str(got))
        if use.sizes - {size}:
            return result(CORRUPT, size, reason=f"the manifest says {max(use.sizes - {size})} bytes")
        return result(OK if use.models else UNUSED, size)


def _hash(fd: int, digest: Digest, size: int, report: Report) -> Digest:
    """The digest of a file's content, with an event for every STEP of it. Raises `OSError`, what `report` raises."""
    state = hashlib.sha256()
    done = told = 0
    if size >= STEP:
        report(Progress(VERIFYING, str(digest), size))
    for piece in _pieces(fd):
        state.update(piece)
        done += len(piece)
        if size >= STEP and done - told >= STEP:
            told = done
            report(Progress(VERIFYING, str(digest), size, done))
    return Digest(state.hexdigest())


def _pieces(fd: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(CHUNK))
    while count := os.readv(fd, [buffer]):
        yield buffer[:count]
