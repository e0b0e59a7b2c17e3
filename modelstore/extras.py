"""Stores that are only read: of another user, or of the system's service.

Their models are listed and run as if they were our own; nothing is ever written there. What is wrong with them is
logged, and does not keep our own store from working.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelstore.blobs import BlobStore
from modelstore.catalog import Catalog
from modelstore.holds import Holds
from modelstore.layout import Layout
from modelstore.manifests import reason

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Extra:
    """One of them."""

    layout: Layout
    blobs: BlobStore
    catalog: Catalog

    @classmethod
    def at(cls, root: Path, go_template: bool | None = None) -> "Extra":
        layout = Layout(root)
        blobs = BlobStore(layout)
        return cls(layout, blobs, Catalog(layout, blobs, Holds(), go_template))


def usable(roots: Iterable[Path], own: Path) -> list[Path]:
    """Those that can be read, each once and without our own store; a word in the log for each other one."""
    known = {_real(own)}
    found: list[Path] = []
    for root in roots:
        if _real(root) in known:
            log.info("models directory %s is named twice", root)
            continue
        known.add(_real(root))
        try:
            _read(root)
        except OSError as error:
            log.warning("models directory %s is left out: %s", root, reason(error))
        else:
            found.append(root)
    return found


def _real(root: Path) -> str:
    return os.path.realpath(root)


def _read(root: Path) -> None:
    """Raises `OSError` for a directory that is not there or cannot be read; one without models may get some."""
    with os.scandir(root):
        pass
    for inside in (Layout(root).manifests, Layout(root).blobs):
        try:
            with os.scandir(inside):
                pass
        except FileNotFoundError:
            log.info("models directory %s has no %s yet", root, inside.name)
