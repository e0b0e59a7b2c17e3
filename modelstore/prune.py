"""Tidying up at start: what an interrupted operation left behind, and blobs that no model needs.

Another program may be working on the same directory, so nothing that changed within the last hour is touched, and of
unfinished files only our own are.
"""

import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modelstore import files
from modelstore.blobs import BlobStore
from modelstore.catalog import Catalog
from modelstore.digest import Digest
from modelstore.errors import StoreError
from modelstore.layout import Layout

log = logging.getLogger(__name__)

GRACE: Final = 3600.0
"""Seconds for which anything is left alone after a change."""
PARTIAL_LIFETIME: Final = 7 * 24 * 3600.0
"""Seconds for which an unfinished download may be continued."""


def rename_old_blobs(layout: Layout) -> None:
    """Give blobs of old versions, `sha256:<hex>`, the name that is used today."""
    for directory, _, names in os.walk(layout.blobs):
        for name in names:
            target = Path(directory, name.replace(":", "-", 1))
            if name.startswith("sha256:") and not target.exists():
                Path(directory, name).rename(target)


def prune(layout: Layout, catalog: Catalog, blobs: BlobStore, now: float) -> None:
    """Remove unneeded blobs, leftovers and empty directories; `now` is Unix time.

    Does nothing while a manifest cannot be read: it may need any of the blobs. What cannot be removed is logged.
    """
    try:
        needed = catalog.references(strict=True)
    except (StoreError, OSError) as error:
        log.warning("corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear: %s", error)
        return
    unneeded = {blobs.path(digest): digest for digest in blobs.digests() if digest not in needed}
    try:
        catalog.remove_unused(digest for path, digest in unneeded.items() if _is_older(path, now - GRACE))
    except OSError as error:
        log.warning("cannot remove a blob: %s", error.strerror)
    for path in (*layout.blobs.glob("*"), *layout.manifests.glob("*/*/*/*")):
        if layout.is_temporary(path) and _is_older(path, now - GRACE):
            _remove(path)
    for path in _children(layout.work):
        if all(_is_older(each, now - GRACE) for each in (path, *path.rglob("*"))):
            _remove(path)
    for path in _children(layout.partials):
        if all(_is_older(each, now - PARTIAL_LIFETIME) for each in _companions(layout, path)):
            _remove(path)
    files.remove_empty_directories(layout.manifests)


def _companions(layout: Layout, path: Path) -> Iterator[Path]:
    """An unfinished download's data and journal, whichever of the two `path` is."""
    yield path
    try:
        digest = Digest.parse(path.name.removesuffix(".journal"))
    except StoreError:
        return
    yield from (each for each in (layout.partial(digest), layout.journal(digest)) if each.exists())


def _children(directory: Path) -> list[Path]:
    return list(directory.glob("*"))


def _is_older(path: Path, moment: float) -> bool:
    """Whether the last change was before that moment; of links, that of the link itself."""
    try:
        return path.lstat().st_mtime < moment
    except OSError:
        return False


def _remove(path: Path) -> None:
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        log.warning("cannot remove %s: %s", path.name, error.strerror)
