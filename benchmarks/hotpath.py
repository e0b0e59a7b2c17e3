"""`python -m benchmarks.hotpath`: what a token, and what a vector, costs beside the model.

Starts a daemon with an empty home on a port of its own, has the bundled model answer many streamed requests at once,
and divides the processor time that the daemon's process took by the tokens: once for raw completions, once for chats,
whose text goes through the parsers. Then it writes 1,024 vectors of 1,024 numbers as the runner and the daemon do. The
best of the rounds counts, as whatever else runs only adds. Needs neither another model nor a peer. Prints one JSON
object.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import IO, Any, Final

import numpy as np
import psutil

from benchmarks.folders import ROOT
from scheduler.runner.embedding.embed import encode_rows
from server import jsonout

TOKEN_BUDGET: Final = 60.0
"""Microseconds of the daemon's processor time for a streamed token, at 32 streams."""
VECTORS_BUDGET: Final = 40.0
"""Milliseconds for 1,024 vectors of 1,024 numbers as JSON, the median."""
_LISTENING: Final = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")
_TOKENS: Final = 200
_ROWS: Final = 1024
_MODEL: Final = "tinychat"


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds a token in `completion` and `chat`; milliseconds for all vectors in `vectors`."""

    streams: int
    completion: float
    chat: float
    vectors: float


class _Daemon:
    """A daemon with the bundled model."""

    def __init__(self, home: str, streams: int) -> None:
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("OLLAMA_", "LLAMAD_"))}
        ours |= {"HOME": home, "OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_NO_CLOUD": "1", "LLAMAD_SEED": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server", "serve"],
            cwd=ROOT,
            env={**ours, "OLLAMA_NUM_PARALLEL": str(streams), "OLLAMA_CONTEXT_LENGTH": "512"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self.port = _port(self._process.stderr)
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        self._figures = psutil.Process(self._process.pid)

    def seconds(self) -> float:
        """Processor time of the daemon's own process, not of its runners."""
        times = self._figures.cpu_times()
        return times.user + times.system

    def stop(self) -> None:
        """End it, and its runners with it."""
        self._process.terminate()
        self._process.wait(30)


def _port(log: IO[str]) -> int:
    for line in log:
        if found := _LISTENING.search(line):
            return int(found[1])
    raise SystemExit("the daemon did not start")


async def _answer(port: int, path: str, body: dict[str, Any]) -> int:
    """The tokens of one streamed answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    writer.write(head.encode() + payload)
    received = await reader.read(-1)
    writer.close()
    lines = [line for line in received.split(b"\n") if line.startswith(b"{")]
    return int(json.loads(lines[-1])["eval_count"])


def completion(number: int) -> tuple[str, dict[str, Any]]:
    """Path and body of a request whose text nobody looks at."""
    return "/api/generate", {"raw": True, "prompt": f"Story {number}: once upon a time", **_endless(number)}


def chat(number: int) -> tuple[str, dict[str, Any]]:
    """Path and body of a request whose text is parsed."""
    return "/api/chat", {"messages": [{"role": "user", "content": f"Tell me story {number}."}], **_endless(number)}


def _endless(seed: int) -> dict[str, Any]:
    never = dict.fromkeys(("<|im_end|>", "<|endoftext|>"), -100.0)
    return {"model": _MODEL, "options": {"seed": seed, "num_predict": _TOKENS, "temperature": 1.5, "logit_bias": never}}


async def _microseconds(daemon: _Daemon, request: Callable[[int], tuple[str, dict[str, Any]]], streams: int) -> float:
    began = daemon.seconds()
    tokens = sum(await asyncio.gather(*(_answer(daemon.port, *request(number)) for number in range(streams))))
    return (daemon.seconds() - began) * 1e6 / tokens


async def _tokens(daemon: _Daemon, streams: int, rounds: int) -> tuple[float, float]:
    await _answer(daemon.port, *completion(0))
    found = [
        (await _microseconds(daemon, completion, streams), await _microseconds(daemon, chat, streams))
        for _ in range(rounds)
    ]
    return min(one for one, _ in found), min(one for _, one in found)


def vectors(count: int = _ROWS, rounds: int = 9) -> float:
    """Milliseconds from `count` float32 vectors of as many numbers to the body of the answer, the median."""
    rows = np.random.default_rng(1).standard_normal((count, count)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    taken: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        jsonout.with_rows({"model": _MODEL}, "embeddings", encode_rows(rows, "json32"), {"prompt_eval_count": count})
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def measure(streams: int, rounds: int) -> Cost:
    """Start a daemon, ask, stop it."""
    with tempfile.TemporaryDirectory() as home:
        daemon = _Daemon(home, streams)
        try:
            completion, chat = asyncio.run(_tokens(daemon, streams, rounds))
        finally:
            daemon.stop()
    return Cost(streams, round(completion, 1), round(chat, 1), round(vectors(), 1))


def main() -> int:
    """0, or with `--strict` 1 when a budget is not kept."""
    parser = argparse.ArgumentParser(prog="benchmarks.hotpath", description=__doc__)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--strict", action="store_true", help="end with status 1 when a budget is not kept")
    arguments = parser.parse_args()
    cost = measure(arguments.streams, arguments.rounds)
    print(json.dumps(asdict(cost)))
    kept = max(cost.completion, cost.chat) <= TOKEN_BUDGET and cost.vectors <= VECTORS_BUDGET
    return 0 if kept or not arguments.strict else 1


if __name__ == "__main__":
    sys.exit(main())
