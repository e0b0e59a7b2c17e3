"""Ollama's API, which two of the sides speak: ours, and the daemon it is modelled on."""

import asyncio
import hashlib
import http.client
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import proc
from benchmarks.client import connect
from benchmarks.errors import BadAnswer
from benchmarks.ledger import Party
from benchmarks.processes import LOOPBACK, ServerProcess, clean_environment, free_port
from benchmarks.sides import Asking, Counts, Model, Request, Setting

_UNLOADED: Final = 10.0
_SETUP_TIMEOUT: Final = 300.0


class NativeDaemon:
    """A daemon with a store. `start` it before use."""

    party: Party

    def __init__(self, folder: Path, command: Sequence[str], home: Path, extra: Mapping[str, str]) -> None:
        self._folder = folder
        self._command = command
        self._home = home
        """Where it is started."""
        self._extra = extra
        """Variables that only this daemon gets."""
        self._process: ServerProcess | None = None
        self._model = Model("", Path())
        self._options: dict[str, Any] = {}
        """Options of loading; every request has to repeat them."""
        self._setting = Setting()
        self.port = 0

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._process is not None, "started"
        return self._process.pid

    def runners(self) -> list[int]:
        """Process ids of those who hold models."""
        return [pid for pid in proc.children(self.pid) if "runner" in proc.command(pid)]

    def private_bytes(self) -> int:
        """The daemon, and the runner of the model."""
        return proc.private_bytes(self.pid) + max(map(proc.private_bytes, self.runners()))

    def empty(self) -> None:
        """Remove the store of an earlier run."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self, setting: Setting) -> float:
        """Start the daemon; seconds until it answers."""
        assert self._process is None, "stopped before it is started again"
        self._setting, self.port = setting, free_port()
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "HOME": str(self._folder),
            "OLLAMA_HOST": f"{LOOPBACK}:{self.port}",
            "OLLAMA_MODELS": str(self._folder / "models"),
            "OLLAMA_NUM_PARALLEL": str(setting.slots),
            "OLLAMA_CONTEXT_LENGTH": str(setting.slot_tokens),
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_NO_CLOUD": "1",
            **self._extra,
        }
        loop = asyncio.get_running_loop()
        began = loop.time()
        environment = clean_environment(os.environ, settings)
        log = self._folder / "serve.log"
        self._process = ServerProcess(self.party, self._command, environment, self._home, log)
        await self._process.ready(self.port, "/api/version")
        return loop.time() - began

    async def stop(self) -> None:
        """End the daemon."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    # -- its store

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

    # -- one model

    async def load(self, model: Model) -> float:
        """Load it with an empty request, as `ollama run` does."""
        self._model = model
        self._options = {"num_thread": self._setting.threads}
        return await self._load()

    async def _load(self) -> float:
        connection = await connect(LOOPBACK, self.port)
        try:
            answer = await connection.ask(*self._loading(None))
        finally:
            connection.close()
        return answer.last - answer.sent

    async def unload(self) -> None:
        """Unload and wait until the runner is gone."""
        if not self._model.name or self._process is None:
            return
        connection = await connect(LOOPBACK, self.port)
        try:
            await connection.ask(*self._loading(0))
            deadline = asyncio.get_running_loop().time() + _UNLOADED
            while json.loads((await connection.ask("GET", "/api/ps")).body)["models"]:
                if asyncio.get_running_loop().time() > deadline:
                    raise BadAnswer("unloading", f"{self._model.name} is still loaded after {_UNLOADED:.0f} s")
                await asyncio.sleep(0.05)
        finally:
            connection.close()
        self._model = Model("", Path())

    def _loading(self, keep_alive: int | None) -> tuple[str, str, dict[str, Any]]:
        path = "/api/embed" if self._model.embedding else "/api/generate"
        payload: dict[str, Any] = {"model": self._model.name, "stream": False, "options": self._options}
        if self._model.embedding:
            payload["input"] = []
        if keep_alive is not None:
            payload["keep_alive"] = keep_alive
        return "POST", path, payload

    # -- requests

    def generation(self, asking: Asking) -> Request:
        """A raw prompt; the daemon remembers prompts by itself."""
        payload: dict[str, Any] = {
            "model": self._model.name,
            "prompt": asking.prompt,
            "raw": True,
            "stream": True,
            "options": {**self._options, **asking.sampling, "num_predict": asking.tokens},
        }
        if asking.format is not None:
            payload["format"] = asking.format
        return Request("/api/generate", payload)

    def counts(self, body: bytes) -> Counts:
        """From the last line of the stream."""
        end = json.loads(body.rstrip().rpartition(b"\n")[2])
        if not end.get("done"):
            raise BadAnswer("/api/generate", f"the stream ended with {end}")
        return Counts(end.get("prompt_eval_count", 0), end["eval_count"])

    def embedding(self, texts: list[str]) -> Request:
        """All texts in one request."""
        return Request("/api/embed", {"model": self._model.name, "input": texts, "options": self._options})


def text_of(body: bytes) -> str:
    """The whole answer of a stream of /api/generate."""
    return "".join(json.loads(line)["response"] for line in body.splitlines() if line)
