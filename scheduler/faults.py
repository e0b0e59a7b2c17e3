"""Reading what went wrong from a runner's log and from how its process ended."""

import signal
from typing import Final

_MARKERS: Final = (
    "panic:",
    "fatal error:",
    "error:",
    "Error:",
    "CUDA error",
    "ROCm error",
    "cudaMalloc failed",
    '"ERR"',
    "error loading model",
    "GGML_ASSERT",
    "Deepseek2 does not support K-shift",
    "llama_init_from_model:",
)
"""A log line is worth keeping from the first of these on."""

_MEMORY: Final = (
    "out of memory",
    "out of device memory",
    "cudamalloc failed",
    "hipmalloc failed",
    "failed to allocate",
    "allocation failed",
    "bad_alloc",
    "not enough memory",
    "insufficient memory",
    "vk_error_out_of_device_memory",
    "erroroutofmemory",
)

CAPTURE_BYTES: Final = 8 << 10

_SIGNALS: Final = {
    "SIGABRT": "aborted",
    "SIGBUS": "bus error",
    "SIGFPE": "floating point exception",
    "SIGHUP": "hangup",
    "SIGILL": "illegal instruction",
    "SIGINT": "interrupt",
    "SIGKILL": "killed",
    "SIGSEGV": "segmentation fault",
    "SIGTERM": "terminated",
    "SIGTRAP": "trace/breakpoint trap",
}


def tells_of_memory(text: str) -> bool:
    """Whether the text complains of memory that could not be had."""
    lowered = text.lower()
    return any(mark in lowered for mark in _MEMORY)


def exit_words(code: int | None) -> str:
    """How a process ended, from its return code (negative: a signal); empty for a clean or unknown end."""
    if not code:
        return ""
    if code > 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
    return f"signal: {_SIGNALS.get(name, name)}"


class FaultLog:
    """The last complaints in a log: whole lines, 8 KiB of them at most."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0

    def read(self, line: str) -> bool:
        """Keep the line from its first marker on; whether it had one."""
        at = min((found for mark in _MARKERS if (found := line.find(mark)) >= 0), default=-1)
        if at < 0 and not tells_of_memory(line):
            return False
        kept = line[max(at, 0) :].strip().encode()[:CAPTURE_BYTES].decode(errors="ignore")
        self._lines.append(kept)
        self._size += len(kept.encode()) + 1
        while self._size > CAPTURE_BYTES + 1:
            self._size -= len(self._lines.pop(0).encode()) + 1
        return True

    def clear(self) -> None:
        """Forget: a warning of the start-up must not explain a later failure."""
        self._lines.clear()
        self._size = 0

    @property
    def last(self) -> str:
        return self._lines[-1] if self._lines else ""

    @property
    def text(self) -> str:
        return "\n".join(self._lines)
