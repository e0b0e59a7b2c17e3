"""Pages of mapped weights that are not needed again.

The engine maps a file whole and brings all of it into memory. What it then copies, to a GPU or into the layout that
the processor computes fastest with, stays mapped beside the copy. Dropping the pages costs nothing but a page fault
for each one that is wanted after all: they come back from the file.
"""

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from scheduler.frames import Buffer

_DONTNEED: Final = 4
_MAPS: Final = Path("/proc/self/maps")


def copied(buffers: Iterable[Buffer], mapped: int) -> bool:
    """Whether most of `mapped` bytes of files were copied, by the buffers that the engine reported."""
    copies = sum(one.size for one in buffers if one.kind == "model" and not one.device.endswith("_Mapped"))
    return 2 * copies > mapped


def release(files: Sequence[str]) -> int:
    """Drop the pages of all mappings of these files; the number of bytes mapped. 0 where there is no procfs."""
    if not sys.platform.startswith("linux"):
        return 0
    wanted = frozenset(map(os.path.realpath, files))
    libc = ctypes.CDLL(None)
    total = 0
    for start, size, path in mappings(_MAPS.read_text(errors="surrogateescape")):
        if path in wanted and libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _DONTNEED) == 0:
            total += size
    return total


def mappings(text: str) -> Iterator[tuple[int, int, str]]:
    """Address, size and file of each mapping, from proc_pid_maps(5)."""
    for line in text.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6:
            start, _, end = fields[0].partition("-")
            yield int(start, 16), int(end, 16) - int(start, 16), fields[5].replace("\\012", "\n")
