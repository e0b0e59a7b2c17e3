"""Reads forward through a GGUF file without trusting it.

Memory stays at one window plus the longest string: every length is compared with what is left of the file before
anything is read, and arrays are passed over without being kept.
"""

import errno
import os
import stat
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from modelstore.errors import InvalidGGUF

WINDOW: Final = 1 << 20
MAX_HEADER: Final = 512 << 20
MAX_STRING: Final = 16 << 20
MAX_ARRAY: Final = 64 << 20

UINT32: Final = 4
FLOAT32: Final = 6
STRING: Final = 8
ARRAY: Final = 9
FIXED: Final[dict[int, struct.Struct]] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
"""Value types of constant size; 8 is a string, 9 an array."""
_NOT_A_FILE: Final = "not a regular file"
U32: Final = FIXED[UINT32]
U64: Final = FIXED[10]


@contextmanager
def opened(path: Path) -> "Generator[Cursor]":
    """A cursor at the start of a regular file, no link to one.

    Raises `InvalidGGUF` for anything else, `OSError` if it is not there.
    """
    try:
        # Without O_NONBLOCK opening a FIFO would wait for its other end.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise
        raise InvalidGGUF(_NOT_A_FILE) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidGGUF(_NOT_A_FILE)
        yield Cursor(fd, status.st_size)
    finally:
        os.close(fd)


class Cursor:
    """A position in a file of `size` bytes. Whatever does not fit into the rest raises `InvalidGGUF`."""

    def __init__(self, fd: int, size: int) -> None:
        self.size = size
        self._fd = fd
        self._window = b""
        self._start = 0
        self._at = 0

    @property
    def position(self) -> int:
        return self._start + self._at

    @property
    def remaining(self) -> int:
        return self.size - self.position

    def seek(self, position: int) -> None:
        """Go to a position in the file, forward or back."""
        self._start, self._at, self._window = position, 0, b""

    def value(self, form: struct.Struct) -> Any:
        """One number."""
        self._fill(form.size)
        (value,) = form.unpack_from(self._window, self._at)
        self._at += form.size
        return value

    def values(self, form: struct.Struct, count: int) -> list[Any]:
        """So many numbers; the caller limits the count."""
        data = self.take(form.size * count)
        return list(struct.unpack(f"<{count}{form.format[-1]}", data))

    def take(self, size: int) -> bytes:
        """So many bytes."""
        self._fill(size)
        data = self._window[self._at : self._at + size]
        self._at += size
        return data

    def string(self) -> str:
        """A string; what is not UTF-8 becomes U+FFFD."""
        length = self.value(U64)
        _check_string(length)
        return self.take(length).decode("utf-8", "replace")

    def skip(self, size: int) -> None:
        """Pass over so many bytes without reading them."""
        if size > self.remaining:
            raise _cut_short()
        self._at += size

    def skip_strings(self, count: int) -> None:
        """Pass over so many strings."""
        if count * U64.size > self.remaining:
            raise _cut_short()
        unpack = U64.unpack_from
        while count:
            self._fill(U64.size)
            window, at, passed = self._window, self._at, 0
            last = len(window) - U64.size
            while passed < count and at <= last:
                (length,) = unpack(window, at)
                if length > MAX_STRING:
                    raise _string_too_long(length)
                at += length + 8
                passed += 1
            self._at = at
            count -= passed
            if self.remaining < 0:
                raise _cut_short()

    def _fill(self, size: int) -> None:
        """Have the next `size` bytes in the window."""
        if self._at + size <= len(self._window):
            return
        position = self.position
        if size > self.size - position:
            raise _cut_short()
        if position + size > MAX_HEADER:
            raise InvalidGGUF(f"GGUF header exceeds maximum {MAX_HEADER}")
        self._window = os.pread(self._fd, min(max(size, WINDOW), self.size - position), position)
        self._start, self._at = position, 0
        if len(self._window) < size:
            raise _cut_short()


def _check_string(length: int) -> None:
    if length > MAX_STRING:
        raise _string_too_long(length)


def _string_too_long(length: int) -> InvalidGGUF:
    return InvalidGGUF(f"GGUF string length {length} exceeds maximum {MAX_STRING}")


def _cut_short() -> InvalidGGUF:
    return InvalidGGUF("unexpected EOF")
