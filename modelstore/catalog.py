"""The models in a store: find, list, copy, write, delete.

A manifest is the only place that says a model exists; a blob lives as long as a manifest names it. Whatever looks who
still needs a blob and then removes it, and whatever makes sure of its blobs and then writes a manifest, does so under
the store's lock. Digests that somebody is about to put into a manifest are held meanwhile (`holds.py`).

A catalog may look into others too (`elsewhere`): their models are found, listed and run, and never changed. A model
hides those of the same name in catalogs behind its own.
"""

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from modelstore import files
from modelstore.blobs import BlobStore
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, ModelNotFound, ReadOnlyModel, StoreError
from modelstore.holds import Holds
from modelstore.layout import Layout
from modelstore.manifest import MAX_BYTES, Manifest
from modelstore.manifests import Entry, ManifestFiles
from modelstore.model import HeaderCache, StoredModel
from modelstore.names import Name

log = logging.getLogger(__name__)

_FOLDS_CASE: Final = sys.platform in ("darwin", "win32")
"""Whether a path that exists may be spelled differently on the disk."""


class Catalog:
    """The models of one store. Methods read and write files: call them from a thread, not on an event loop."""

    def __init__(
        self,
        layout: Layout,
        blobs: BlobStore,
        holds: Holds,
        go_template: bool | None = None,
        elsewhere: "Sequence[Catalog]" = (),
    ) -> None:
        self._layout = layout
        self._files = ManifestFiles(layout)
        self._blobs = blobs
        self._holds = holds
        self._go_template = go_template
        self._elsewhere = elsewhere
        self._headers = HeaderCache(blobs)
        self._known: dict[Name, tuple[tuple[int, ...], StoredModel]] = {}

    # -- looking --

    def names(self) -> list[Name]:
        """All names, sorted by host, namespace, model and tag. Files with impossible names are logged and left out."""
        return sorted((name for _, name, _ in self._visible()), key=lambda name: name.parts)

    def list(self) -> "list[StoredModel]":
        """All models, newest first. One that cannot be read is logged and left out."""
        models: list[StoredModel] = []
        visible = list(self._visible())
        for catalog in (self, *self._elsewhere):
            catalog._forget_all_but({name for owner, name, _ in visible if owner is catalog})
        for owner, name, path in visible:
            try:
                models.append(owner.get(name))
            except (StoreError, OSError) as error:
                if os.path.lexists(path):  # else it was deleted this very moment
                    owner._files.complain(path, error)
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
        while True:
            try:
                status = path.lstat()
                stamp = _stamp(status)
                known = self._known.get(name)
                if known is not None and known[0] == stamp:
                    return known[1]
                data = files.read_regular(path, MAX_BYTES)
            except (FileNotFoundError, NotADirectoryError):
                self._known.pop(name, None)
                return self._get_elsewhere(name)
            try:
                model = StoredModel.load(name, data, status.st_mtime_ns, self._blobs, self._headers, self._go_template)
            except BlobNotFound:
                if _is_still(path, stamp):
                    raise
                continue  # the model was replaced or deleted this very moment
            self._known[name] = (stamp, model)
            return model

    def known(self, name: Name) -> StoredModel | None:
        """The model with exactly this name, if it has been read before and its manifest is the same file still.

        Opens nothing: fit for an event loop.
        """
        try:
            stamp = _stamp(self._layout.manifest(name).lstat())
        except OSError:
            others = (other.known(name) for other in self._elsewhere)
            return next((model for model in others if model is not None), None)
        known = self._known.get(name)
        return known[1] if known is not None and known[0] == stamp else None

    def elsewhere(self, name: Name) -> bytes | None:
        """The manifest with exactly this name of a model that is only read here, byte for byte."""
        for other in () if files.is_regular(self._layout.manifest(name)) else self._elsewhere:
            try:
                return files.read_regular(other._layout.manifest(name), MAX_BYTES)
            except OSError:
                continue
        return None

    def entries(self) -> Iterator[Entry]:
        """Everything where the manifests of this store lie, not elsewhere, readable or not. Never raises."""
        return self._files.entries()

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
            sys.audit("llamad.manifest.checked")
            former = self._digests_of(path)
            files.write_atomically(path, data, self._layout.temporary(path.parent))
        return former - needed

    def copy(self, source: Name, destination: Name) -> None:
        """Give a model of this very store a second name; the identity stays. Raises `ModelNotFound`."""
        path = self._layout.manifest(destination)
        with self._holds.lock:
            try:
                data = files.read_regular(self._layout.manifest(source), MAX_BYTES)
            except (FileNotFoundError, NotADirectoryError):
                raise ModelNotFound(source.short) from None
            if source != destination:
                files.write_atomically(path, data, self._layout.temporary(path.parent))

    def delete(self, name: Name) -> None:
        """Remove a model, and the blobs that no other one needs.

        Raises `ModelNotFound`; `ReadOnlyModel` for one that is elsewhere.
        """
        path = self._layout.manifest(name)
        with self._holds.lock:
            former = self._digests_of(path)
            try:
                files.remove(path)
            except (FileNotFoundError, NotADirectoryError):
                raise (ReadOnlyModel if self.elsewhere(name) is not None else ModelNotFound)(name.short) from None
            files.remove_empty_directories(self._layout.manifests)
            sys.audit("llamad.directories.removed")
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
        for _, path in self._files.find(strict):
            try:
                found |= self._files.read(path).digests
            except (StoreError, OSError) as error:
                if not os.path.lexists(path):  # it was deleted this very moment
                    continue
                if strict:
                    raise
                self._files.complain(path, error)
        return frozenset(found)

    # -- files --

    def _visible(self) -> "Iterator[tuple[Catalog, Name, Path]]":
        """All models, here and elsewhere, but for those that are hidden by one of the same name."""
        taken: set[tuple[str, ...]] = set()
        for catalog in (self, *self._elsewhere):
            entries = [(name, path) for name, path in catalog._files.find() if _folded(name) not in taken]
            taken.update(_folded(name) for name, _ in entries)
            yield from ((catalog, name, path) for name, path in entries)

    def _get_elsewhere(self, name: Name) -> StoredModel:
        for other in self._elsewhere:
            try:
                return other.get(name)
            except ModelNotFound:
                continue
            except OSError as error:
                other._files.complain(other._layout.manifest(name), error)
        raise ModelNotFound(name.short)

    def _forget_all_but(self, names: set[Name]) -> None:
        for known in list(self._known):  # a list first: another thread may be adding
            if known not in names:
                self._known.pop(known, None)

    def _digests_of(self, path: Path) -> frozenset[Digest]:
        """What the manifest there names; nothing if there is none or it cannot be read."""
        try:
            return self._files.read(path).digests
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except (StoreError, OSError) as error:
            self._files.complain(path, error)
            return frozenset()

    def _is_spelled_so(self, name: Name) -> bool:
        """Whether that can be told without looking at all names."""
        return not _FOLDS_CASE and files.is_regular(self._layout.manifest(name))


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """Differs when a file was replaced or written to."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def _is_still(path: Path, stamp: tuple[int, ...]) -> bool:
    try:
        return _stamp(path.lstat()) == stamp
    except OSError:
        return False


def _folded(name: Name) -> tuple[str, ...]:
    return tuple(part.lower() for part in name.parts)
