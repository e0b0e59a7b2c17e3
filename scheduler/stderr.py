"""Cutting a log stream into lines."""

from collections.abc import Iterator
from typing import Final

_LONGEST: Final = 64 << 10


class LineBuffer:
    """Lines as they become complete; one that never ends is cut."""

    def __init__(self) -> None:
        self._rest = b""
        self.last = ""
        """The last line that was not blank."""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes, without their ends, in any encoding that is nearly UTF-8."""
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip()
            if line:
                self.last = line
                yield line
