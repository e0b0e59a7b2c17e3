"""llama.cpp's own server as a side of the comparison."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import proc
from benchmarks.errors import BadAnswer, ServerFailed
from benchmarks.ledger import SERVER, Party
from benchmarks.peers import Peers
from benchmarks.processes import LOOPBACK, ServerProcess, clean_environment, free_port
from benchmarks.sides import HUGE_PAGES, Asking, Counts, Model, Request, Setting

EMBEDDED_TOKENS: Final = 512
"""The longest text that a slot of an embedding model takes; as many as the model was trained on."""


class LlamaServer:
    """A process a model. `caching` is what it is told about remembering prompts."""

    def __init__(self, peers: Peers, folder: Path, *, party: Party = SERVER, caching: Sequence[str] = ()) -> None:
        self.party: Party = party
        self._peers = peers
        self._folder = folder
        self._caching = caching
        self._setting = Setting()
        self._process: ServerProcess | None = None
        self.port = 0

    async def start(self, setting: Setting) -> float:
        """Only remembers the setting."""
        self._setting = setting
        return 0.0

    async def stop(self) -> None:
        """End the process."""
        await self.unload()

    async def load(self, model: Model) -> float:
        """Start the process; it answers once the model is ready."""
        self.port = free_port()
        self._folder.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        began = loop.time()
        environment = clean_environment(os.environ, HUGE_PAGES)
        log = self._folder / f"{model.name}.log"
        self._process = ServerProcess(self.party, self._command(model), environment, self._folder, log)
        await self._process.ready(self.port, "/health")
        return loop.time() - began

    def _command(self, model: Model) -> list[str]:
        setting = self._setting
        slot_tokens = EMBEDDED_TOKENS if model.embedding else setting.slot_tokens
        return [
            str(self._peers.server),
            *["--model", str(model.file), "--host", LOOPBACK, "--port", str(self.port), "--no-webui"],
            *["--threads", str(setting.threads), "--threads-batch", str(setting.threads)],
            *["--parallel", str(setting.slots), "--ctx-size", str(setting.slots * slot_tokens)],
            *(["--embeddings"] if model.embedding else ["--no-kv-unified", *self._caching]),
        ]

    async def unload(self) -> None:
        """End the process."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    def private_bytes(self) -> int:
        """The process."""
        if self._process is None:
            raise ServerFailed(self.party, "it is not running", self._folder)
        return proc.private_bytes(self._process.pid)

    def generation(self, asking: Asking) -> Request:
        """A plain prompt."""
        payload: dict[str, Any] = {
            **asking.sampling,
            "prompt": asking.prompt,
            "n_predict": asking.tokens,
            "stream": True,
            "cache_prompt": asking.returns,
        }
        return Request("/completion", payload)

    def counts(self, body: bytes) -> Counts:
        """From the last event of the stream."""
        last = body.rstrip().rpartition(b"\n")[2].removeprefix(b"data: ")
        end = json.loads(last)
        if not end.get("stop"):
            raise BadAnswer("/completion", f"the stream ended with {end}")
        return Counts(end["tokens_evaluated"], end["tokens_predicted"])

    def embedding(self, texts: list[str]) -> Request:
        """All texts in one request."""
        return Request("/v1/embeddings", {"input": texts})
