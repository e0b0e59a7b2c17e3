"""The models in a store: find, list, copy, write, delete.

A manifest is the only place that says a model exists; a blob lives as long as a manifest names it. Whatever looks who
still needs a blob and then removes it, and whatever makes sure of its blobs and then writes a manifest, does so under
the store's lock. Digests that somebody is about to put into a manifest are held meanwhile (`holds.py`).
"""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from modelstore import files
from modelstore.blobs import BlobStore
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, InvalidName, ModelNotFound, StoreError
from modelstore.holds import Holds
from modelstore.layout import Layout
from modelstore.manifest import MAX_BYTES, Manifest
from modelstore.model import HeaderCache, StoredModel
from modelstore.names import Name

log = logging.getLogger(__name__)

_FOLDS_CASE: Final = sys.platform in ("darwin", "win32")
"""Whether a path that exists may be spelled differently on the disk."""


class Catalog:
    """The models of one store. Methods read and write files: call them from a thread, not on an event loop."""

    def __init__(self, layout: Layout, blobs: BlobStore, holds: Holds, go_template: bool | None = None) -> None:
        self._layout = layout
        self._blobs = blobs
        self._holds = holds
        self._go_template = go_template
        self._headers = HeaderCache(blobs)
        self._known: dict[Name, tuple[tuple[int, ...], StoredModel]] = {}

    # -- looking --

    def names(self) -> list[Name]:
        """All names, sorted by host, namespace, model and tag. Files with impossible names are logged and left out."""
        return [name for name, _ in self._entries()]

    def list(self) -> "list[StoredModel]":
        """All models, newest first. One that cannot be read is logged and left out."""
        models: list[StoredModel] = []
        entries = list(self._entries())
        known = list(self._known)  # another thread may be adding
        for gone in set(known).difference(name for name, _ in entries):
            self._known.pop(gone, None)
        for name, path in entries:
            try:
                models.append(self.get(name))
            except (StoreError, OSError) as error:
                if os.path.lexists(path):  # else it was deleted this very moment
                    log.warning("bad manifest %s: %s", path.relative_to(self._layout.manifests), error)
        models.sort(key=lambda model: model.modified_ns // 1_000_000_000, reverse=True)
        return models

    def resolve(self, name: Name) -> Name:
        """The name in the spelling of the models that are there.

        Each part takes the spelling of a stored one that differs only in case: that of the model with the most parts in
        common, and among equals of the first in order. A part that occurs nowhere stays as it is.
        """
        if self._is_spelled_so(name):
            return name
        folded = [part.lower() for part in name.parts]

        def likeness(other: Name) -> tuple[int, int]:
            alike = sum(part.lower() == own for part, own in zip(other.parts, folded, strict=True))
            equal = sum(part == own for part, own in zip(other.parts, name.parts, strict=True))
            return -alike, -equal

        stored = sorted(self.names(), key=likeness)
        spelled = [
            next((other.parts[i] for other in stored if other.parts[i].lower() == folded[i]), part)
            for i, part in enumerate(name.parts)
        ]
        return Name(*spelled, scheme=name.scheme)

    def get(self, name: Name) -> StoredModel:
        """The model with exactly this name (see `resolve`).

        Raises `ModelNotFound`; `InvalidManifest`, `InvalidDigest` or `BlobNotFound` for one that is damaged.
        """
        path = self._layout.manifest(name)
        try:
            status = path.lstat()
            stamp = _stamp(status)
            known = self._known.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            data = files.read_regular(path, MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop(name, None)
            raise ModelNotFound(name.short) from None
        model = StoredModel.load(name, data, status.st_mtime_ns, self._blobs, self._headers, self._go_template)
        self._known[name] = (stamp, model)
        return model

    def known(self, name: Name) -> StoredModel | None:
        """The model with exactly this name, if it has been read before and its manifest is the same file still.

        Opens nothing: fit for an event loop.
        """
        known = self._known.get(name)
        if known is None:
            return None
        try:
            same = known[0] == _stamp(self._layout.manifest(name).lstat())
        except OSError:
            return None
        return known[1] if same else None

    # -- changing --

    def write(self, name: Name, manifest: Manifest | bytes) -> frozenset[Digest]:
        """Store a manifest (bytes: as they came from a registry), in place of one of the same name.

        Returns what only the former one named; give it to `remove_unused` unless old blobs are to be kept. Raises
        `BlobNotFound` when a blob is missing; then nothing has changed.
        """
        data = manifest if isinstance(manifest, bytes) else manifest.encode()
        needed = Manifest.parse(data).digests
        path = self._layout.manifest(name)
        with self._holds.lock:
            for digest in sorted(needed):
                if not self._blobs.touch(digest):
                    raise BlobNotFound(str(digest))
            former = self._digests_of(path)
            files.write_atomically(path, data, self._layout.temporary(path.parent))
        return former - needed

    def copy(self, source: Name, destination: Name) -> None:
        """Give a model a second name; the identity stays. Raises `ModelNotFound`."""
        path = self._layout.manifest(destination)
        with self._holds.lock:
            try:
                data = files.read_regular(self._layout.manifest(source), MAX_BYTES)
            except (FileNotFoundError, NotADirectoryError):
                raise ModelNotFound(source.short) from None
            if source != destination:
                files.write_atomically(path, data, self._layout.temporary(path.parent))

    def delete(self, name: Name) -> None:
        """Remove a model, and the blobs that no other one needs. Raises `ModelNotFound`."""
        path = self._layout.manifest(name)
        with self._holds.lock:
            former = self._digests_of(path)
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                raise ModelNotFound(name.short) from None
            files.remove_empty_directories(self._layout.manifests)
            self._known.pop(name, None)
            self.remove_unused(former)

    def remove_unused(self, digests: Iterable[Digest]) -> set[Digest]:
        """Delete those blobs that no manifest names and nobody holds; returns what is gone.

        Raises the first `OSError` after trying all.
        """
        gone: set[Digest] = set()
        failure: OSError | None = None
        with self._holds.lock:
            for digest in set(digests) - self.references() - self._holds.digests():
                try:
                    if self._blobs.remove(digest):
                        gone.add(digest)
                except OSError as error:
                    failure = failure or error
        if failure is not None:
            raise failure
        return gone

    def references(self, strict: bool = False) -> frozenset[Digest]:
        """Everything that a manifest names.

        A manifest that cannot be read is logged and left out; if `strict`, it raises (`StoreError`, `OSError`).
        """
        found: set[Digest] = set()
        for _, path in self._entries(strict):
            try:
                found |= Manifest.parse(files.read_regular(path, MAX_BYTES)).digests
            except (StoreError, OSError) as error:
                if strict:
                    raise
                log.warning("bad manifest %s: %s", path.relative_to(self._layout.manifests), error)
        return frozenset(found)

    # -- files --

    def _entries(self, strict: bool = False) -> Iterator[tuple[Name, Path]]:
        """What lies exactly four levels deep and is no directory, in order."""
        for path in _descend(self._layout.manifests, 4):
            if self._layout.is_temporary(path):
                continue
            try:
                yield self._layout.name(path), path
            except InvalidName:
                if strict:
                    raise
                log.warning("bad manifest name %s", path.relative_to(self._layout.manifests))

    def _digests_of(self, path: Path) -> frozenset[Digest]:
        """What the manifest there names; nothing if there is none or it cannot be read."""
        try:
            return Manifest.parse(files.read_regular(path, MAX_BYTES)).digests
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except (StoreError, OSError) as error:
            log.warning("bad manifest %s: %s", path.relative_to(self._layout.manifests), error)
            return frozenset()

    def _is_spelled_so(self, name: Name) -> bool:
        """Whether that can be told without looking at all names."""
        return not _FOLDS_CASE and files.is_regular(self._layout.manifest(name))


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """Differs when a file was replaced or written to."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def _descend(directory: Path, depth: int) -> Iterator[Path]:
    """Everything but directories at that depth, sorted."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if depth == 1 and not entry.is_dir():
            yield directory / entry.name
        elif depth > 1 and entry.is_dir():
            yield from _descend(directory / entry.name, depth - 1)
