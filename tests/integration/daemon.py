"""A real daemon in a process of its own, on a port of its own, with a store of its own."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "tests" / "models"
_LISTENING = re.compile(r"Listening on (127\.0\.0\.1:\d+)")


class Daemon:
    """`python -m server serve` on one core: one engine thread, so that answers repeat exactly."""

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None, wrapper: Sequence[str] = ()) -> None:
        """`wrapper` is a command that executes the arguments behind it in its own place."""
        self.home = home
        self.log: list[str] = []
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("OLLAMA_", "LLAMAD_"))}
        # the engine's trial at start passes once for all daemons of the tests
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        variables |= {
            "HOME": str(home),
            "XDG_CACHE_HOME": cache,
            "OLLAMA_HOST": "127.0.0.1:0",
            "OLLAMA_NO_CLOUD": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "server", "serve"],
            cwd=ROOT,
            env={**variables, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, {min(os.sched_getaffinity(0))})
        self.address = self._wait_until_listening()
        self.base = f"http://{self.address}"
        self._drain = threading.Thread(target=self._collect, daemon=True)
        self._drain.start()
        self.http = httpx.Client(base_url=self.base, timeout=60, trust_env=False)

    def _wait_until_listening(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := _LISTENING.search(line):
                return found[1]
        raise AssertionError("the daemon ended: " + "".join(self.log))

    def _collect(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def add(self, model: str, file: str, **more: object) -> None:
        """Upload a file of tests/models and create a model from it."""
        digest = self.blob((MODELS / file).read_bytes())
        body = {"model": model, "files": {file: digest}, "stream": False, **more}
        answer = self.http.post("/api/create", json=body)
        assert answer.status_code == 200, answer.text

    def blob(self, data: bytes) -> str:
        """Upload it; its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert self.http.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
        return digest

    def runners(self) -> list[int]:
        """Process ids of the daemon's children that run models or wait for one."""
        return [
            child.pid for child in psutil.Process(self.process.pid).children() if "scheduler.runner" in _command(child)
        ]

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self._drain.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


def _command(process: psutil.Process) -> str:
    """Empty for one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
