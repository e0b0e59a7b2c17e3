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
_END_TOKENS: Final = "load: printing all EOG tokens:"
_END_TOKEN: Final = re.compile(r"^load:\s+- (\d+) \('")
_OFFLOADED: Final = re.compile(r"offloaded (\d+)/(\d+) layers")
_FUNCTION: Final = re.compile(r"^\w+: ")
_NO_REASON: Final = ("failed to load model", "failed to load model from splits")
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
        self.end_tokens: list[int] | None = None
        """Tokens that the vocabulary loaded last may end a text with; None where it did not list them."""
        self.offloaded: tuple[int, int] = (0, 0)
        # The library keeps no reference of its own.
        self._callback: Any = native().llama_log_callback(self._receive)
        self.listen()

    def listen(self) -> None:
        """Receive the lines from now on, in place of whoever did so."""
        native().llama_log_set(self._callback, None)

    def _receive(self, level: int, text: bytes | None, _user: object) -> None:
        if level != _CONTINUATION:
            self._level = level
        if self._level < _INFO:
            return  # one line a tensor, and more
        self._line += (text or b"").decode("utf-8", "replace")
        while "\n" in self._line:
            line, self._line = self._line.split("\n", 1)
            self._take(self._level, line.rstrip())

    def _take(self, level: int, line: str) -> None:
        if not line:
            return
        if level >= _ERROR:
            self.errors.append(line)
        self._read(line)
        print(line, file=sys.stderr, flush=True)

    def _read(self, line: str) -> None:
        if found := _BUFFER.match(line):
            component, device, kind, size = found.groups()
            self._buffers[component, device, kind] = round(float(size) * 1024 * 1024)
        elif found := _OFFLOADED.search(line):
            self.offloaded = (int(found[1]), int(found[2]))
        elif line == _END_TOKENS:
            self.end_tokens = []
        elif self.end_tokens is not None and (found := _END_TOKEN.match(line)):
            self.end_tokens.append(int(found[1]))

    def buffers(self) -> list[Buffer]:
        """Memory the engine said it took, one entry a component, device and kind."""
        return [Buffer(device, kind, size) for (_, device, kind), size in self._buffers.items()]

    def reason(self) -> str:
        """The engine's last errors as one text, without names of functions; empty when it logged none."""
        lines = [_FUNCTION.sub("", line) for line in self.errors]
        return "\n".join([line for line in lines if line not in _NO_REASON] or lines)

    def blames_the_file(self) -> bool:
        """Whether the errors say that the file, not the machine, is at fault."""
        text = "\n".join(self.errors).lower()
        return any(mark in text for mark in _UNSUPPORTED)
