"""Programs started for a measurement."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.client import connect
from benchmarks.errors import BadAnswer, ServerFailed

LOOPBACK: Final = "127.0.0.1"
_READY: Final = 120.0
"""Seconds a server may take to answer."""
_POLL: Final = 0.002
_STOP: Final = 15.0
_OWN_PREFIXES: Final = ("OLLAMA_", "LLAMA_", "LLAMAD_", "GGML_", "OMP_", "GOMP_", "GLIBC_TUNABLES")


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def clean_environment(environ: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """The environment without whatever would configure a server behind our back, and `extra` on top."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_OWN_PREFIXES)}
    return {**kept, **extra}


class ServerProcess:
    """A server under test. Its output goes to a file."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path):
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ready(self, port: int, path: str) -> None:
        """Wait until GET `path` is answered with 200. Raises `ServerFailed`."""
        deadline = asyncio.get_running_loop().time() + _READY
        while asyncio.get_running_loop().time() < deadline:
            if self._process.poll() is not None:
                raise ServerFailed(self.name, f"it ended with status {self._process.returncode}", self.log)
            try:
                connection = await connect(LOOPBACK, port)
            except OSError:
                await asyncio.sleep(_POLL)
                continue
            try:
                await connection.ask("GET", path)
                return
            except BadAnswer:
                await asyncio.sleep(_POLL)
            finally:
                connection.close()
        raise ServerFailed(self.name, f"it did not answer within {_READY:.0f} s", self.log)

    async def stop(self) -> None:
        """Ask it to end, wait, and end it."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, _STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
