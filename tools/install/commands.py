"""Running pip and compilers: their output, and what is said when they fail."""

import collections
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .errors import CommandFailed

_TAIL_LINES: Final = 40
_STEP: Final = re.compile(r"^\s*\[(\d+)/(\d+)\] ")
_TENTHS: Final = 10


def say(text: str) -> None:
    print(text, flush=True)


def capture(command: Sequence[str], environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and output (both streams) of a short command; status 127 when it cannot be started."""
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout.decode(errors="replace")


def run_logged(what: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
    """Run to the end with the output in `log`, showing how far a build has come. Raises CommandFailed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
    progress = _Progress(what)
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode(errors="replace")
            file.write(line)
            tail.append(line)
            progress.feed(line)
    progress.end()
    if process.returncode:
        raise CommandFailed(what, process.returncode, "".join(tail), log)


class _Progress:
    """The step counter of Ninja as a percentage: one line rewritten on a terminal, a line for each tenth elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._terminal = sys.stdout.isatty()
        self._shown = -1

    def feed(self, line: str) -> None:
        match = _STEP.match(line)
        if match is None:
            return
        done, total = int(match[1]), int(match[2])
        percent = 100 * done // max(total, 1)
        if self._terminal and percent != self._shown:
            self._shown = percent
            print(f"\r  {self._what} {percent:3d} %", end="", flush=True)
        elif not self._terminal and percent // _TENTHS > self._shown:
            self._shown = percent // _TENTHS
            say(f"  {self._what} {percent:3d} %")

    def end(self) -> None:
        if self._terminal and self._shown >= 0:
            print(flush=True)
