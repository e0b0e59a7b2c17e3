"""llama-bench: the engine alone, without a server, without sampling."""

import asyncio
import json
import os
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.peers import Peers
from benchmarks.processes import clean_environment
from benchmarks.sides import HUGE_PAGES


async def decode_rate(peers: Peers, model: Path, *, threads: int, depth: int, tokens: int) -> float:
    """Tokens a second of one sequence that goes on after `depth` tokens. Raises `BenchmarkError`."""
    sizes = ["--n-prompt", "0", "--n-gen", str(tokens), "--n-depth", str(depth), "--repetitions", "3"]
    process = await asyncio.create_subprocess_exec(
        str(peers.bench),
        *["--model", str(model), "--threads", str(threads), *sizes, "--output", "json"],
        env=clean_environment(os.environ, HUGE_PAGES),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise BenchmarkError(f"llama-bench ended with status {process.returncode}:\n{errors.decode(errors='replace')}")
    return rate_of(output)


def rate_of(output: bytes) -> float:
    """From llama-bench's JSON with one test in it. Raises `BenchmarkError`."""
    try:
        (test,) = json.loads(output)
        return float(test["avg_ts"])
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"llama-bench said something else than one test: {error}") from None
