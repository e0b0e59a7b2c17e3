"""Digests of files that were computed before, so that `run ./model.gguf` does not read gigabytes every time.

A digest counts as long as the file keeps its size, its times, its inode and its device. It only says which model of the
store a file is; what is imported is hashed by the daemon in any case.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

LARGEST: Final = 200
"""Files that are remembered: those looked at last."""
RECENT: Final = 2_000_000_000
"""Nanoseconds for which a change may be followed by another one with the same time."""


def file_of(environment: Mapping[str, str]) -> Path:
    """Where they are kept."""
    base = environment.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else Path.home() / ".cache", "llamad", "digests.json")


class Remembered:
    """A cache that cannot be read is empty; one that cannot be written costs time and nothing else."""

    def __init__(self, file: Path, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` tells nanoseconds since 1970."""
        self._file = file
        self._clock = clock

    def digests(self, paths: Sequence[Path], compute: Callable[[Sequence[Path]], dict[Path, str]]) -> dict[Path, str]:
        """Of each path, in order; `compute` is asked for those that are not known. Raises what it raises, `OSError`."""
        entries = self._read()
        marks = {path: _mark(path) for path in paths}
        known = {path: digest for path in paths if (digest := _digest(entries.get(str(path)), marks[path]))}
        computed = compute([path for path in paths if path not in known])
        found = {path: known.get(path) or computed[path] for path in paths}
        now = self._clock()
        for path, mark in marks.items():
            entries.pop(str(path), None)
            if _mark(path) == mark and now - max(mark[1:3]) > RECENT:
                entries[str(path)] = [*mark, found[path]]
        if computed:
            self._write(dict(list(entries.items())[-LARGEST:]))
        return found

    def _read(self) -> dict[str, Any]:
        try:
            entries = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", entries) if isinstance(entries, dict) else {}

    def _write(self, entries: dict[str, Any]) -> None:
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
        with suppress(OSError):
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                draft.write_text(json.dumps(entries))
                draft.replace(self._file)
            finally:
                draft.unlink(missing_ok=True)


def _mark(path: Path) -> list[int]:
    """What changes when a file does; the two times stand second and third."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _digest(entry: Any, mark: list[int]) -> str:
    """The digest in an entry that was made of the same file; empty if it was not."""
    if not isinstance(entry, list):
        return ""
    *known, digest = cast("list[Any]", entry) or [None]
    return digest if known == mark and isinstance(digest, str) else ""
