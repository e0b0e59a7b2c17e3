"""What a runner says on stderr, and what it explains: why a load failed, a request, or the process."""

from collections.abc import Iterator
from typing import Final

from scheduler import errors, frames
from scheduler.faults import FaultLog, exit_words, tells_of_memory

_LONGEST: Final = 64 << 10
_NO_REASON: Final = (
    "model failed to load, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)

_FROM_OUTSIDE: Final = (-2, -9, -15)
"""Signals that others send: what a runner said before one was about something else, unless it was a complaint."""


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


class LastWords:
    """The log of one runner, kept as far as it explains what goes wrong."""

    def __init__(self) -> None:
        self._lines = LineBuffer()
        self._faults = FaultLog()

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes."""
        for line in self._lines.feed(data):
            self._faults.read(line)
            yield line

    def clear(self) -> None:
        """Forget: a warning of the start-up must not explain a later failure."""
        self._faults.clear()
        self._lines.last = ""

    @property
    def last(self) -> str:
        """The last complaint, else the last line."""
        return self._faults.last or self._lines.last

    def death(self, code: int | None) -> errors.RunnerDied:
        """The process has ended, with this return code."""
        last = self._faults.last or self._last_line(code)
        return errors.RunnerDied(": ".join(filter(None, (exit_words(code), last))))

    def failed_load(self, code: int | None) -> errors.LoadFailed:
        """The process has ended, with this return code, before the model was ready."""
        captured = self._faults.text or self._last_line(code) or _NO_REASON
        reason = ": ".join(filter(None, (exit_words(code), captured)))
        starved = tells_of_memory(captured)
        return errors.LoadFailed(f"llama runner process has terminated: {reason}", out_of_memory=starved)

    def _last_line(self, code: int | None) -> str:
        return "" if code in _FROM_OUTSIDE else self._lines.last

    def refused_load(self, report: frames.LoadFailed) -> errors.LoadFailed:
        """The runner has said that it cannot load the model."""
        starved = tells_of_memory(report.message) or tells_of_memory(self._faults.text)
        starved = starved and not report.unsupported
        return errors.LoadFailed(report.message, unsupported=report.unsupported, out_of_memory=starved)

    def failed_request(self, failed: frames.Failed) -> errors.RunnerFailed:
        """The runner has given up one request."""
        message = failed.message
        if failed.status >= 500 and tells_of_memory(self._faults.text) and not tells_of_memory(message):
            message = f"{message}: {self._faults.last}"
        return errors.RunnerFailed(message, failed.status)
