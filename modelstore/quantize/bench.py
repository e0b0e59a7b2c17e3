"""A working directory of one quantization: links to the weights, and the file that is being written."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from modelstore import files
from modelstore.errors import DiskFull
from modelstore.ggufheader import Header

RESULT: Final = "result.gguf"
_ROUNDING: Final = 64 << 10
"""Bytes by which an announced size may be too small."""
_PADDING: Final = 64
"""Bytes that a tensor may take beyond its data and what the list of the source says about it."""


class Bench:
    """Leaving the `with` block removes the directory with all that is in it."""

    def __init__(self, work: Path, headers: Sequence[Header]) -> None:
        """`work` is the directory that the new one is made in; `headers` are of one file, or of all its shards.

        Raises `OSError`, `DiskFull`.
        """
        self._headers = headers
        self._needed = 0
        with files.counting_room():
            files.make_directory(work)
            self.directory = Path(tempfile.mkdtemp(dir=work))
        try:
            with files.counting_room():
                self.sources = tuple(self._link(header) for header in headers)
        except BaseException:
            self.clear()
            raise

    @property
    def result(self) -> Path:
        return self.directory / RESULT

    def require(self, size: int) -> None:
        """Make sure that there is room for tensors of so many bytes, and the metadata. Raises `DiskFull`."""
        metadata = sum(header.data_start + _PADDING * len(header.tensors) for header in self._headers)
        self._needed = size + metadata + _ROUNDING
        free = shutil.disk_usage(self.directory).free
        if self._needed > free:
            raise DiskFull(self._needed, free)

    def check_room(self) -> None:
        """Raises `DiskFull` if the rest of the result has no room (any more)."""
        written = self.result.stat().st_size if self.result.exists() else 0
        free = shutil.disk_usage(self.directory).free
        if self._needed - written > free:
            raise DiskFull(self._needed, free + written)

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _link(self, header: Header) -> str:
        """Put a file in its place under a name that the engine takes."""
        split = header.split
        name = f"model-{(split.number or 0) + 1:05d}-of-{split.count:05d}.gguf" if split else "model.gguf"
        os.symlink(header.path.absolute(), self.directory / name)
        return name

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
