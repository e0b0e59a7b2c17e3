"""Tidying up: what an interrupted operation left behind, and blobs that no model needs.

At start, and when somebody asks for it. Another program may be working on the same directory, so nothing that changed
within the last hour is touched, and of unfinished files only our own are.
"""

import logging
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modelstore import files
from modelstore.digest import Digest
from modelstore.errors import DamagedManifests, InvalidDigest, StoreError
from modelstore.layout import Layout
from modelstore.manifests import reason

if TYPE_CHECKING:
    from modelstore.store import Store

log = logging.getLogger(__name__)

GRACE: Final = 3600.0
"""Seconds for which anything is left alone after a change."""
PARTIAL_LIFETIME: Final = 7 * 24 * 3600.0
"""Seconds after which an unfinished download is given up, when nobody asks for more."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A blob, or a file or directory that is none."""

    size: int
    """Bytes."""
    digest: Digest | None = None
    place: str = ""
    """Where it was, below the models directory; empty for a blob."""


def rename_old_blobs(layout: Layout) -> None:
    """Give blobs of old versions, `sha256:<hex>`, the name that is used today. What cannot be renamed is logged."""
    for directory, _, names in os.walk(layout.blobs):
        for name in names:
            target = Path(directory, name.replace(":", "-", 1))
            if name.startswith("sha256:") and not target.exists():
                try:
                    Path(directory, name).rename(target)
                except OSError as error:
                    log.warning("cannot rename %s: %s", name, reason(error))


def at_start(store: "Store", now: float) -> None:
    """What start-up removes. Problems are logged: they are no reason not to start."""
    try:
        removed = prune(store, now, partials=PARTIAL_LIFETIME)
    except StoreError as error:
        log.warning("%s", error)
        return
    log.info("total blobs: %d", sum(1 for _ in store.blobs.digests()))
    log.info("total unused blobs removed: %d", sum(each.digest is not None for each in removed))


def prune(store: "Store", now: float, *, partials: float = GRACE, dry_run: bool = False) -> list[Removed]:
    """Remove unneeded blobs, leftovers and empty directories, or tell what would be; `now` is Unix time.

    `partials` is for how many seconds unfinished downloads are kept. What cannot be removed is logged and not in the
    result. Raises `DamagedManifests` when a manifest cannot be read, as it may need any of the blobs; `StoreBusy`.
    """
    removed: list[Removed] = []
    with store.holds.lock:
        for digest in _unneeded(store):
            path = store.layout.blob(digest)
            # The time is asked for at the last moment: other programs on the directory do not know the lock.
            if _is_older(path, now - GRACE):
                size = _size(path)
                if dry_run or _remove_blob(store, digest):
                    removed.append(Removed(size, digest))
        for path in _leftovers(store, now - GRACE, now - partials):
            size = _size(path)
            if dry_run or _remove(path):
                removed.append(Removed(size, place=path.relative_to(store.layout.root).as_posix()))
        if not dry_run:
            files.remove_empty_directories(store.layout.manifests)
    return removed


def _unneeded(store: "Store") -> list[Digest]:
    """Blobs that are neither named by a manifest nor held, sorted."""
    try:
        needed = store.catalog.references(strict=True)
    except (StoreError, OSError) as error:
        raise DamagedManifests(reason(error)) from error
    return sorted(set(store.blobs.digests()) - needed - store.holds.digests())


def _leftovers(store: "Store", moment: float, partials_moment: float) -> Iterator[Path]:
    """Our own files and directories that nobody works with any more."""
    layout = store.layout
    for path in sorted((*layout.blobs.glob("*"), *layout.manifests.glob("*/*/*/*"))):
        if layout.is_temporary(path) and _is_older(path, moment):
            yield path
    for path in sorted(layout.work.glob("*")):
        if all(_is_older(each, moment) for each in (path, *path.rglob("*"))):
            yield path
    held = store.holds.digests()
    # A list first: of a download's two files the first must not be gone when the second is looked at.
    yield from [
        path
        for path in sorted(layout.partials.glob("*"))
        if _digest(path) not in held and all(_is_older(each, partials_moment) for each in _companions(layout, path))
    ]


def _digest(partial: Path) -> Digest | None:
    """That of the blob which an unfinished download was to become."""
    try:
        return Digest.parse(partial.name.removesuffix(".journal"))
    except InvalidDigest:
        return None


def _companions(layout: Layout, path: Path) -> Iterator[Path]:
    """An unfinished download's data and journal, whichever of the two `path` is."""
    yield path
    if (digest := _digest(path)) is not None:
        yield from (each for each in (layout.partial(digest), layout.journal(digest)) if each.exists())


def _is_older(path: Path, moment: float) -> bool:
    """Whether the last change was before that moment; of links, that of the link itself."""
    try:
        return path.lstat().st_mtime < moment
    except OSError:
        return False


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a directory."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size
    return sum(_size(each) for each in path.iterdir())


def _remove_blob(store: "Store", digest: Digest) -> bool:
    """Whether it is gone."""
    try:
        return store.blobs.remove(digest)
    except OSError as error:
        log.warning("cannot remove %s: %s", digest, reason(error))
        return False


def _remove(path: Path) -> bool:
    """Whether it is gone."""
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        log.warning("cannot remove %s: %s", path.name, reason(error))
        return False
    return True
