"""What must be true of a models directory at every moment, looked up in the files themselves."""

import os
from pathlib import Path

from modelstore.digest import Digest
from modelstore.errors import InvalidDigest, StoreError
from modelstore.layout import Layout
from modelstore.manifest import Manifest
from modelstore.store import Store

HOUR = 3600
LONG_AGO = 8 * 24 * HOUR
"""Seconds after which nothing unfinished is kept."""


def manifests(root: Path) -> dict[str, bytes]:
    """Path below the directory of manifests → content; what is being written under a name of its own is left out."""
    layout = Layout(root)
    found = sorted(path for path in layout.manifests.glob("*/*/*/*") if not layout.is_temporary(path))
    return {path.relative_to(layout.manifests).as_posix(): path.read_bytes() for path in found}


def damage(root: Path) -> list[str]:
    """All that is not whole: manifests without their blobs, blobs with another content than their name says."""
    layout = Layout(root)
    found: list[str] = []
    for path in layout.blobs.iterdir():
        try:
            digest = Digest.parse(path.name)
        except InvalidDigest:
            continue
        if Digest.of_file(path) != digest:
            found.append(f"{path.name} has other content")
    for name, data in manifests(root).items():
        found += [f"{name}: {what}" for what in _damage_of(layout, data)]
    if not found:
        found += _unlisted(root)
    return found


def _damage_of(layout: Layout, data: bytes) -> list[str]:
    try:
        manifest = Manifest.parse(data)
    except StoreError as error:
        return [str(error)]
    layers = [*manifest.layers, *([manifest.config] if manifest.config else [])]
    found: list[str] = []
    for layer in layers:
        path = layout.blob(layer.digest)
        if not path.is_file():
            found.append(f"{layer.digest} is missing")
        elif path.stat().st_size != layer.size:
            found.append(f"{layer.digest} has {path.stat().st_size} bytes, not {layer.size}")
    return found


def _unlisted(root: Path) -> list[str]:
    """A fresh look by the store itself."""
    listed = {"/".join(model.name.parts) for model in Store.open(root, prune=False).catalog.list()}
    return [f"{name} is not listed" for name in manifests(root) if name not in listed]


def age(root: Path) -> None:
    """Let all files look as if nobody had touched them for days."""
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        moment = status.st_mtime - LONG_AGO
        os.utime(path, (moment, moment), follow_symlinks=False)


def start(root: Path) -> None:
    """What a daemon does with the store when it starts."""
    Store.open(root)


def leftovers(root: Path) -> list[str]:
    """What no model needs, once a start has tidied up."""
    layout = Layout(root)
    needed = {layout.manifests / name for name in manifests(root)}
    for data in manifests(root).values():
        needed |= {layout.blob(digest) for digest in Manifest.parse(data).digests}
    files = {path for path in root.rglob("*") if not path.is_dir()}
    empty = {path for path in layout.manifests.rglob("*") if path.is_dir() and not any(path.iterdir())}
    strays = set(layout.work.iterdir()) if layout.work.exists() else set[Path]()
    return sorted(path.relative_to(root).as_posix() for path in (files - needed) | empty | strays)
