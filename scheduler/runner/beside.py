"""Work for a second thread while the engine's thread is inside a decode."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Protocol


class Preparing(Protocol):
    """Something that can be made ready for its next token."""

    def prepare(self) -> None: ...


class Beside:
    """`begin` before the decode, `wait` after it. The thread is started with the first piece of work."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Sequence[Preparing]] = SimpleQueue()
        self._ready = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._open = False

    def begin(self, work: Sequence[Preparing]) -> None:
        """Prepare these; nothing else may touch them until `wait`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="beside", daemon=True)
            self._thread.start()
        self._open = True
        self._work.put(work)

    def wait(self) -> None:
        """Until all that was begun is done."""
        if self._open:
            self._ready.acquire()
            self._open = False

    def _run(self) -> None:
        while True:
            with suppress(Exception):  # it comes again where the result is asked for
                for one in self._work.get():
                    one.prepare()
            self._ready.release()
