"""What processes hold in a quiet moment: descriptors, threads, memory, and other processes."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

from tests.integration.daemon import Daemon

MIB: Final = 1 << 20
POOL: Final = min(32, (os.cpu_count() or 1) + 4)
"""Threads that asyncio starts for blocking work, one by one, and keeps."""


def until(happened: Callable[[], bool], what: str) -> None:
    """Wait for what another process has to do first."""
    pause = threading.Event()
    for _ in range(6000):
        if happened():
            return
        pause.wait(0.01)
    raise AssertionError(f"not within a minute: {what}")


@dataclass(frozen=True)
class Census:
    """Of one process. `memory`: private bytes."""

    descriptors: int
    threads: int
    memory: int

    @classmethod
    def of(cls, daemon: Daemon) -> "Census":
        """Wait until no model is loaded, no client connected, no process left to bury, and the next runner waits."""
        process = psutil.Process(daemon.process.pid)
        until(lambda: len(process.children()) == 1 == len(daemon.runners()), "only the runner in reserve is left")
        daemon.http.get("/api/version")  # the one connection that stays
        until(lambda: _connections(process) <= 1, "the connections of clients are closed")
        return cls._of(process)

    @classmethod
    def of_runners(cls, daemon: Daemon) -> "dict[int, Census]":
        """What each runner has, by process id."""
        return {pid: cls._of(psutil.Process(pid)) for pid in daemon.runners()}

    @classmethod
    def _of(cls, process: psutil.Process) -> "Census":
        return cls(
            descriptors=process.num_fds() - _connections(process),
            threads=process.num_threads(),
            memory=process.memory_full_info().uss,
        )

    def check(self, before: "Census", *, growth: int) -> None:
        """Nothing has grown since `before`: no descriptor, no thread but those of the pool, so many bytes at most."""
        assert self.descriptors <= before.descriptors, (before, self)
        assert self.threads <= before.threads + POOL, (before, self)
        assert self.memory <= before.memory + growth, (before, self)

    def __str__(self) -> str:
        return f"{self.descriptors} descriptors, {self.threads} threads, {self.memory / MIB:.1f} MiB"


def _connections(process: psutil.Process) -> int:
    return sum(one.status != psutil.CONN_LISTEN for one in process.net_connections("inet"))
