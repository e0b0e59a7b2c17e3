"""The engine's log: passed on to stderr line by line, and read for what no function of the library tells."""

import re
import sys
from collections import deque
from typing import Any, Final

from scheduler.frames import Buffer
from scheduler.runner.engine.library import native

_INFO: Final = 2
_ERROR: Final = 4
_CONTINUATION: Final = 5
_BUFFER: Final = re.compile(r"^(\w+):\s+(\S+)\s+(model|KV|RS|compute|output) buffer size\s*=\s*([\d.]+) MiB")
_OFFLOADED: Final = re.compile(r"offloaded (\d+)/(\d+) layers")
_UNSUPPORTED: Final = ("unknown model architecture", "unsupported", "invalid magic", "error loading model")


class EngineLog:
    """Receives the engine's log lines for as long as the process lives.

    Callbacks arrive from any native thread, in fragments: a line is whole once it ends in a newline.
    """

    def __init__(self) -> None:
        self._level = _INFO
        self._line = ""
        self._buffers: dict[tuple[str, str, str], int] = {}
        self.errors: deque[str] = deque(maxlen=8)
        """The last error lines."""
        self.offloaded: tuple[int, int] = (0, 0)
        lib = native()
        self._callback: Any = lib.llama_log_callback(self._receive)  # the library keeps no reference of its own
        lib.llama_log_set(self._callback, None)

    def _receive(self, level: int, text: bytes | None, _user: object) -> None:
        if level != _CONTINUATION:
            self._level = level
        self._line += (text or b"").decode("utf-8", "replace")
        while "\n" in self._line:
            line, self._line = self._line.split("\n", 1)
            self._take(self._level, line.rstrip())

    def _take(self, level: int, line: str) -> None:
        if not line or level < _INFO:
            return
        if level >= _ERROR:
            self.errors.append(line)
        if found := _BUFFER.match(line):
            component, device, kind, size = found.groups()
            self._buffers[component, device, kind] = round(float(size) * 1024 * 1024)
        elif found := _OFFLOADED.search(line):
            self.offloaded = (int(found[1]), int(found[2]))
        print(line, file=sys.stderr, flush=True)

    def buffers(self) -> list[Buffer]:
        """Memory the engine said it took, one entry a component, device and kind."""
        return [Buffer(device, kind, size) for (_, device, kind), size in self._buffers.items()]

    def reason(self) -> str:
        """The engine's last errors as one text; empty when it logged none."""
        return "\n".join(self.errors)

    def blames_the_file(self) -> bool:
        """Whether the errors say that the file, not the machine, is at fault."""
        text = self.reason().lower()
        return any(mark in text for mark in _UNSUPPORTED)
