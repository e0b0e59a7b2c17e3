"""Our daemon as a side of the comparison."""

import asyncio
import hashlib
import http.client
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks import proc
from benchmarks.client import connect
from benchmarks.errors import BadAnswer
from benchmarks.folders import ROOT
from benchmarks.processes import LOOPBACK, ServerProcess, clean_environment, free_port
from benchmarks.sides import SAMPLING, Counts, Model, Request, Setting

_UNLOADED: Final = 10.0
_SETTLED: Final = 15.0
"""Seconds within which the daemon has a runner standing by, however busy the machine is."""
_LOOK: Final = 0.5
_SETUP_TIMEOUT: Final = 300.0


class Llamad:
    """Our daemon. `start` it before use."""

    name = "llamad"

    def __init__(self, setting: Setting, folder: Path) -> None:
        self._setting = setting
        self._folder = folder
        self._process: ServerProcess | None = None
        self._model = ""
        self._embedding = False
        self.port = 0

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._process is not None, "started"
        return self._process.pid

    def runners(self) -> list[int]:
        """Process ids of its runners, the spare included."""
        return [pid for pid in proc.children(self.pid) if "scheduler.runner" in proc.command(pid)]

    def private_bytes(self) -> int:
        """The daemon and the largest runner; the other one is the spare."""
        return proc.private_bytes(self.pid) + max(map(proc.private_bytes, self.runners()))

    def empty(self) -> None:
        """Remove the store of an earlier run."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self) -> float:
        """Start the daemon; seconds until it answers."""
        self.port = free_port()
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "HOME": str(self._folder),
            "OLLAMA_HOST": f"{LOOPBACK}:{self.port}",
            "OLLAMA_MODELS": str(self._folder / "models"),
            "OLLAMA_NUM_PARALLEL": str(self._setting.slots),
            "OLLAMA_CONTEXT_LENGTH": str(self._setting.slot_tokens),
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_NO_CLOUD": "1",
        }
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._process = ServerProcess(
            self.name,
            [sys.executable, "-m", "server", "serve"],
            clean_environment(os.environ, settings),
            ROOT,
            self._folder / "serve.log",
        )
        await self._process.ready(self.port, "/api/version")
        return loop.time() - began

    async def stop(self) -> None:
        """End the daemon."""
        if self._process is not None:
            await self._process.stop()

    async def add(self, model: Model) -> None:
        """Put a file into the store under its name."""
        await asyncio.to_thread(self._add, model)

    def _add(self, model: Model) -> None:
        with model.file.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            file.seek(0)
            size = {"Content-Length": str(model.file.stat().st_size)}
            self._setup("POST", f"/api/blobs/{digest}", file, size)
        create = {"model": model.name, "files": {model.file.name: digest}, "stream": False}
        self._setup("POST", "/api/create", json.dumps(create), {"Content-Type": "application/json"})

    def _setup(self, method: str, path: str, data: Any, headers: dict[str, str]) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_SETUP_TIMEOUT)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status not in (200, 201):
            raise BadAnswer(f"{method} {path}", f"{answer.status}: {text.strip()}")

    async def load(self, model: Model) -> float:
        """Load it with an empty request, as `ollama run` does. The next spare is ready when this returns."""
        self._model, self._embedding = model.name, model.embedding
        await self._settled(runners=1)
        connection = await connect(LOOPBACK, self.port)
        try:
            answer = await connection.ask(*self._loading(None))
        finally:
            connection.close()
        await self._settled(runners=2)
        return answer.last - answer.sent

    async def _settled(self, runners: int) -> None:
        """Wait until there are so many runners, and none of them has anything more to do."""
        deadline = asyncio.get_running_loop().time() + _SETTLED
        before: dict[int, float] = {}
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_LOOK)
            now = {pid: proc.cpu_seconds(pid) for pid in self.runners()}
            if len(now) == runners and now == before:
                return
            before = now

    async def unload(self) -> None:
        """Unload and wait until the runner is gone."""
        connection = await connect(LOOPBACK, self.port)
        try:
            await connection.ask(*self._loading(0))
            deadline = asyncio.get_running_loop().time() + _UNLOADED
            while json.loads((await connection.ask("GET", "/api/ps")).body)["models"]:
                if asyncio.get_running_loop().time() > deadline:
                    raise BadAnswer("unloading", f"{self._model} is still loaded after {_UNLOADED:.0f} s")
                await asyncio.sleep(0.05)
        finally:
            connection.close()

    def _loading(self, keep_alive: int | None) -> tuple[str, str, dict[str, Any]]:
        path = "/api/embed" if self._embedding else "/api/generate"
        payload: dict[str, Any] = {"model": self._model, "stream": False, "options": self._options()}
        if self._embedding:
            payload["input"] = []
        if keep_alive is not None:
            payload["keep_alive"] = keep_alive
        return "POST", path, payload

    def _options(self) -> dict[str, Any]:
        return {"num_thread": self._setting.threads}

    def generation(self, prompt: str, tokens: int) -> Request:
        """A streamed answer to a prompt that no template touches."""
        options = {**self._options(), **SAMPLING, "num_predict": tokens}
        payload = {"model": self._model, "prompt": prompt, "raw": True, "stream": True, "options": options}
        return Request("/api/generate", payload)

    def counts(self, body: bytes) -> Counts:
        """From the last line of the stream."""
        end = json.loads(body.rstrip().rpartition(b"\n")[2])
        if not end.get("done"):
            raise BadAnswer("/api/generate", f"the stream ended with {end}")
        return Counts(end.get("prompt_eval_count", 0), end["eval_count"])

    def embedding(self, texts: list[str]) -> Request:
        """All texts in one request."""
        return Request("/api/embed", {"model": self._model, "input": texts, "options": self._options()})
