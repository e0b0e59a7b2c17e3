"""llama.cpp's own server as a side of the comparison."""

import asyncio
import json
import os
from pathlib import Path

from benchmarks import proc
from benchmarks.errors import BadAnswer, ServerFailed
from benchmarks.peers import Peers
from benchmarks.processes import LOOPBACK, ServerProcess, clean_environment, free_port
from benchmarks.sides import HUGE_PAGES, SAMPLING, Counts, Model, Request, Setting


class LlamaServer:
    """llama.cpp's own server: a process a model."""

    name = "llama-server"

    def __init__(self, peers: Peers, setting: Setting, folder: Path) -> None:
        self._peers = peers
        self._setting = setting
        self._folder = folder
        self._process: ServerProcess | None = None
        self.port = 0

    async def load(self, model: Model) -> float:
        """Start the process; it answers once the model is ready."""
        self.port = free_port()
        self._folder.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        began = loop.time()
        environment = clean_environment(os.environ, HUGE_PAGES)
        log = self._folder / f"{model.name}.log"
        self._process = ServerProcess(self.name, self._command(model), environment, self._folder, log)
        await self._process.ready(self.port, "/health")
        return loop.time() - began

    def _command(self, model: Model) -> list[str]:
        setting = self._setting
        common = ["--model", str(model.file), "--host", LOOPBACK, "--port", str(self.port), "--no-webui"]
        common += ["--threads", str(setting.threads), "--threads-batch", str(setting.threads)]
        if model.embedding:
            return [str(self._peers.server), *common, "--embeddings", "--parallel", str(setting.slots)]
        # No second copy of finished prompts in memory: no request here shares a beginning with another.
        sizes = ["--parallel", str(setting.slots), "--ctx-size", str(setting.slots * setting.slot_tokens)]
        return [str(self._peers.server), *common, *sizes, "--cache-ram", "0", "--no-kv-unified"]

    async def unload(self) -> None:
        """End the process."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    def private_bytes(self) -> int:
        """The process."""
        if self._process is None:
            raise ServerFailed(self.name, "it is not running", self._folder)
        return proc.private_bytes(self._process.pid)

    def generation(self, prompt: str, tokens: int) -> Request:
        """A streamed answer to a plain prompt."""
        payload = {**SAMPLING, "prompt": prompt, "n_predict": tokens, "stream": True, "cache_prompt": False}
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
