"""The lock of a store: between the threads of a process, and between processes that work on one directory.

Between processes it is `flock` on the directory itself: that needs no room on the disk and leaves nothing behind, and
the kernel lets go of it when a process dies. Where the file system has no such locks, as NFS for directories, the store
goes without. Other programs do not know of it; from them a recent time protects (see `blobs.py`).
"""

import fcntl
import logging
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from modelstore.errors import StoreBusy

log = logging.getLogger(__name__)

PATIENCE: Final = 30.0
"""Seconds to wait for another process, which holds the lock for milliseconds unless it was stopped."""
_PAUSE: Final = 0.005


class StoreLock:
    """Use it in a `with` statement; a thread may do so again inside. Entering raises `StoreBusy`."""

    def __init__(self, directory: Path | None = None, patience: float | None = None) -> None:
        """`directory` is what to lock; None: there are no other processes."""
        self.threads = threading.RLock()
        """The part of it that is between threads."""
        self._directory = directory
        self._patience = PATIENCE if patience is None else patience
        self._depth = 0
        self._fd: int | None = None

    def __enter__(self) -> None:
        self.threads.acquire()
        if not self._depth:
            try:
                self._fd = self._locked()
                sys.audit("llamad.lock.taken")
            except BaseException:
                self._unlock()
                self.threads.release()
                raise
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._unlock()
        self.threads.release()

    def _locked(self) -> int | None:
        """A descriptor that holds the lock; None where there can be none."""
        if self._directory is None:
            return None
        fd = -1
        try:
            fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._wait(fd)
        except BaseException as error:
            if fd >= 0:
                os.close(fd)
            if not isinstance(error, OSError):
                raise
            log.debug("no lock between processes: %s", error.strerror)
            return None
        return fd

    def _wait(self, fd: int) -> None:
        end = time.monotonic() + self._patience
        while True:
            try:
                return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise StoreBusy from None
            time.sleep(_PAUSE)

    def _unlock(self) -> None:
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_UN)  # closing is not enough while a child that is being started has it too
        finally:
            os.close(fd)
