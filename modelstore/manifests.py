"""The files in which manifests lie: `manifests/<host>/<namespace>/<model>/<tag>`, found anew at every look.

Other programs write there too, and so do people's file managers; what is no manifest is told of and passed over.
"""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from modelstore import files
from modelstore.errors import InvalidName, StoreError
from modelstore.layout import Layout
from modelstore.manifest import MAX_BYTES, Manifest
from modelstore.names import Name

log = logging.getLogger(__name__)

LEVELS: Final = 4
"""Directories deep, as a name has parts."""

Failed: TypeAlias = Callable[[Path, OSError], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file where manifests lie, and what is in it."""

    place: str
    """Its path below the directory of manifests."""
    name: Name | None
    """None where the path is no name."""
    manifest: Manifest | None
    """None where there is no name, or nothing that can be read."""
    reason: str = ""
    """Why something is None."""


class ManifestFiles:
    """Those of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def find(self, strict: bool = False) -> Iterator[tuple[Name, Path]]:
        """What lies exactly four levels deep and is no directory, in order.

        A path that is no name and a directory that cannot be read are logged and left out; if `strict`, they raise.
        """
        for path, name in self._paths(_raise if strict else self.complain):
            if isinstance(name, Name):
                yield name, path
            elif strict:
                raise name
            else:
                log.warning("bad manifest name %s", self._place(path))

    def entries(self) -> Iterator[Entry]:
        """Everything there, readable or not. Never raises."""
        unreadable: list[Entry] = []

        def note(path: Path, error: OSError) -> None:
            unreadable.append(Entry(self._place(path), None, None, reason(error)))

        for path, name in self._paths(note):
            if isinstance(name, InvalidName):
                yield Entry(self._place(path), None, None, "not the name of a model")
                continue
            try:
                yield Entry(self._place(path), name, self.read(path))
            except (StoreError, OSError) as error:
                if os.path.lexists(path):  # else it was deleted this very moment
                    yield Entry(self._place(path), name, None, reason(error))
        yield from unreadable

    def read(self, path: Path) -> Manifest:
        """Raises `InvalidManifest`, `InvalidDigest`, `OSError`."""
        return Manifest.parse(files.read_regular(path, MAX_BYTES))

    def complain(self, path: Path, error: Exception) -> None:
        """Log that a manifest, or a directory of some, cannot be used."""
        log.warning("bad manifest %s: %s", self._place(path), reason(error))

    def _paths(self, failed: Failed) -> Iterator[tuple[Path, Name | InvalidName]]:
        """Files with their names, or why they have none."""
        for path in _descend(self._layout.manifests, LEVELS, failed):
            if self._layout.is_temporary(path):
                continue
            try:
                yield path, self._layout.name(path)
            except InvalidName as error:
                yield path, error

    def _place(self, path: Path) -> str:
        return path.relative_to(self._layout.manifests).as_posix()


def reason(error: Exception) -> str:
    """What is wrong, without paths of this machine."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _raise(_: Path, error: OSError) -> None:
    raise error


def _descend(directory: Path, depth: int, failed: Failed) -> Iterator[Path]:
    """Everything but directories at that depth, sorted. A link counts as what it leads to."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        failed(directory, error)
        return
    for entry in entries:
        path = directory / entry.name
        is_directory = os.path.isdir(path) if entry.is_symlink() else entry.is_dir()
        if depth == 1 and not is_directory:
            yield path
        elif depth > 1 and is_directory:
            yield from _descend(path, depth - 1, failed)
