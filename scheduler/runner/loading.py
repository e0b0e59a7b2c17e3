"""From the start of the process to a model that is ready.

    prepare ──▶ (wait for the `Load` frame) ──▶ load ──▶ `Loaded`
      what no model is needed for               └──────▶ `LoadFailed`

A runner in reserve waits behind `prepare`. While a model loads, the daemon is told how far it is; it gives up a load
that shows no sign of life for its load timeout.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from scheduler import frames
from scheduler.files import files_of
from scheduler.runner.engine import IncompatibleBinding, ModelLoadError, library
from scheduler.runner.loaded import LoadedModel

PULSE: Final = 1.0
"""Seconds between looks at whether a silent load still gets on."""

Send = Callable[[frames.Frame], None]


def prepare() -> None:
    """Do what needs no model."""
    library.prepare(os.environ)


def load(frame: frames.Load, send: Send) -> LoadedModel | None:
    """The model, with `Progress` frames at once and on the way; None after a `LoadFailed`."""
    progress = Progress(send)
    progress(0.0)  # the daemon wants to know whether a process that has waited in reserve still does anything
    try:
        with pulse(progress.repeat):
            model = LoadedModel(frame, progress)
    except (ModelLoadError, IncompatibleBinding) as error:
        unsupported = isinstance(error, ModelLoadError) and error.unsupported
        send(frames.LoadFailed(without_folders(str(error), frame), unsupported))
        return None
    gc.freeze()  # what has lived until now lives as long as the process
    return model


def without_folders(message: str, frame: frames.Load) -> str:
    """The engine names files by their path; clients must not learn where the store lies."""
    for path in files_of(frame):
        message = message.replace(path, os.path.basename(path))
    return message


class Progress:
    """Reports the fraction loaded, in steps of a hundredth."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._step = -1
        self._fraction = 0.0

    def __call__(self, fraction: float) -> None:
        if (step := int(fraction * 100)) != self._step:
            self._step, self._fraction = step, fraction
            self._send(frames.Progress(fraction))

    def repeat(self) -> None:
        """Say again how far it is."""
        self._send(frames.Progress(self._fraction))


@contextmanager
def pulse(beat: Callable[[], None]) -> Generator[None]:
    """Within it, `beat` is called while data is read though nothing is reported: mapping a file takes the engine one
    call, however long the disk needs for it."""
    over = threading.Event()
    if sys.platform != "win32":
        threading.Thread(target=watch, args=(beat, over.wait), name="pulse", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def watch(beat: Callable[[], None], wait: Callable[[float], bool], pages: Callable[[], int] | None = None) -> None:
    """Call `beat` after each `PULSE` in which pages came in, until `wait` says that it is over. A load that hangs must
    be seen to hang: that the process lives is not enough."""
    count = pages or pages_read
    seen = count()
    while not wait(PULSE):
        if (now := count()) != seen:
            seen = now
            beat()


def pages_read() -> int:
    """A count that rises with every read from a disk (getrusage(2)), for this process."""
    import resource  # there is none on Windows

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_inblock + usage.ru_majflt
