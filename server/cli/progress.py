"""What happens while the user waits, on standard error.

    lines       Spinner (a message, and a turning wheel until it is done) and Bar (a share of known bytes)
    displays    LiveDisplay redraws its lines in place ten times a second, for a terminal
                PlainDisplay writes a message once, and a bar when it is full, for files and pipes

Commands speak to a display by `status` and `bar`; which of the two it is, `display` decides.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from server.cli import human
from server.cli.tables import width

WHEEL: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
REFRESH: Final = 0.1
"""Seconds between two redraws."""

_SAMPLES: Final = 10
_BEGIN: Final = "\x1b[?2026h\x1b[?25l"
_END: Final = "\x1b[?25h\x1b[?2026l"

Clock = Callable[[], float]


@dataclass(slots=True)
class Spinner:
    """A message about work whose length nobody knows."""

    message: str
    done: bool = False

    def render(self, _columns: int, now: float) -> str:
        if self.done:
            return f"{self.message} "
        return f"{self.message} {WHEEL[int(now / REFRESH) % len(WHEEL)]} "


@dataclass(slots=True)
class Bar:
    """Bytes done of bytes to do. The rate is that of the last ten seconds, from samples one second apart."""

    message: str
    total: int
    completed: int = 0
    samples: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    @property
    def done(self) -> bool:
        return self.completed >= self.total

    def advance(self, completed: int, now: float) -> None:
        self.completed = completed
        if not self.samples or now - self.samples[-1][0] >= 1:
            self.samples = [*self.samples[1 - _SAMPLES :], (now, completed)]

    def rate(self) -> float:
        """Bytes a second; 0 while it is unknown."""
        if len(self.samples) < 2:
            return 0.0
        (first, start), (last, end) = self.samples[0], self.samples[-1]
        return (end - start) / (last - first)

    def percent(self) -> float:
        return 100.0 if self.total <= 0 else min(100.0, 100 * self.completed / self.total)

    def render(self, columns: int, _now: float) -> str:
        head = f"{self.message} {self.percent():3.0f}%"
        tail = self._tail()
        cells = max(0, columns - width(head) - len(tail) - 5)
        full = int(cells * self.percent() / 100)
        return f"{head} ▕{'█' * full}{' ' * (cells - full)}▏ {tail}"

    def _tail(self) -> str:
        total = f"{human.size(self.total):>6}"
        if self.done:
            return total + " " * 25
        rate = self.rate()
        amounts = f"{human.size(self.completed):>6}/{total}"
        if rate <= 0:
            return amounts + " " * 18
        return f"{amounts}  {human.size(int(rate)):>6}/s  {remaining((self.total - self.completed) / rate):>6}"


def remaining(seconds: float) -> str:
    """Time left: `1h2m`, `59m59s`, `12s`."""
    whole = int(seconds)
    if whole >= 100 * 3600:
        return "99h+"
    hours, rest = divmod(whole, 3600)
    minutes, seconds_left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{seconds_left}s" if minutes else f"{seconds_left}s"


def terminal_size(out: TextIO) -> os.terminal_size:
    """Columns and lines of the screen behind a stream; 80 × 24 where it is unknown."""
    try:
        size = os.get_terminal_size(out.fileno())
    except (OSError, ValueError):
        size = os.terminal_size((0, 0))
    return size if all(size) else os.terminal_size((80, 24))


def cut(line: str, columns: int) -> str:
    """As much of a line as fits into one row: one that wraps could not be redrawn in place."""
    while width(line) > columns:
        line = line[: columns - width(line)]
    return line


class Display(Protocol):
    """Where a command tells what it does. Used as a context manager: leaving it ends the display."""

    def status(self, message: str) -> None:
        """Begin work of unknown length, which ends what was said before; the same message again changes nothing."""
        ...

    def bar(self, key: str, message: str, completed: int, total: int) -> None:
        """Set how far the work called `key` is."""
        ...

    def clear(self) -> None:
        """Take back what is shown, as the result follows."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display() -> Display:
    return LiveDisplay(sys.stderr) if sys.stderr.isatty() else PlainDisplay(sys.stderr)


def wheel() -> Display:
    """For waits that say nothing: shows on a terminal only, and leaves nothing behind."""
    return LiveDisplay(sys.stderr, keep=False) if sys.stderr.isatty() else PlainDisplay(sys.stderr, quiet=True)


class PlainDisplay:
    """One line a message, one a full bar."""

    def __init__(self, out: TextIO, *, quiet: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._message = ""
        self._full: set[str] = set()

    def status(self, message: str) -> None:
        if message != self._message:
            self._message = message
            self._say(message)

    def bar(self, key: str, message: str, completed: int, total: int) -> None:
        if completed >= total and key not in self._full:
            self._full.add(key)
            self._say(f"{message} 100%")

    def clear(self) -> None:
        pass

    def _say(self, line: str) -> None:
        if line and not self._quiet:
            print(line, file=self._out, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class LiveDisplay:
    """Redraws its lines in place; a thread of its own turns the wheel."""

    def __init__(self, out: TextIO, clock: Clock = time.monotonic, *, keep: bool = True) -> None:
        """`keep` is whether the last state stays on the screen."""
        self._out = out
        self._clock = clock
        self._keep = keep
        self._lines: list[Spinner | Bar] = []
        self._bars: dict[str, Bar] = {}
        self._drawn = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def status(self, message: str) -> None:
        with self._lock:
            if self._lines and isinstance(spinner := self._lines[-1], Spinner) and spinner.message == message:
                return
            self._settle()
            self._lines.append(Spinner(message))
            self._draw()

    def bar(self, key: str, message: str, completed: int, total: int) -> None:
        with self._lock:
            bar = self._bars.get(key)
            if bar is None:
                self._settle()
                bar = self._bars[key] = Bar(message, total)
                self._lines.append(bar)
            bar.advance(completed, self._clock())

    def clear(self) -> None:
        """Nothing of it stays on the screen."""
        self._stop()
        with self._lock:
            up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
            if self._drawn:
                self._out.write(f"{up}\x1b[1G\x1b[J\x1b[?25h")
                self._out.flush()
            self._lines, self._bars, self._drawn = [], {}, 0

    def draw(self) -> None:
        with self._lock:
            self._draw()

    def _settle(self) -> None:
        for line in self._lines:
            if isinstance(line, Spinner):
                line.done = True

    def _draw(self) -> None:
        size = terminal_size(self._out)
        shown = [cut(line.render(size.columns, self._clock()), size.columns) for line in self._lines[-size.lines :]]
        if not shown:
            return
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        body = "\n".join(f"{line}\x1b[K" for line in shown)
        self._out.write(f"{_BEGIN}{up}\x1b[1G{body}{_END}")
        self._out.flush()
        self._drawn = len(shown)

    def _turn(self) -> None:
        while not self._over.wait(REFRESH):
            self.draw()

    def _stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        self._over.clear()
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._keep:
            self.clear()
        self._stop()
        with self._lock:
            self._settle()
            self._draw()
            if self._drawn:
                self._out.write("\n")
                self._out.flush()
