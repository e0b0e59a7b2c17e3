"""Whether the native code computes on this machine: a short-lived runner decodes a few tokens of the bundled model.

A build with instructions that the processor lacks, or only pretends to have, dies by a signal at the first matrix
product. Found out here, the log names the likely cause and the command that rebuilds, before any request fails of it.

A build that has passed on a processor is not tried there again: the mark lies in the user's cache.
"""

import asyncio
import hashlib
import importlib.util
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import structlog

from scheduler import frames
from server.build import Build
from server.remedy import Processor, explain, read_processor

_log = structlog.get_logger(__name__)

TOKENS: Final = 32
TIMEOUT: Final = 120.0
"""Seconds; a machine that needs longer for 3.6 million parameters has other troubles."""
RUNNER: Final = (sys.executable, "-m", "scheduler.runner")
# Longer than one token, so that the products of matrices are tried and not only those of a matrix and a vector.
_PROMPT: Final = "Once upon a time there was a little robot who wanted to count every star in the sky. " * 3
_STOPPED_BY_US: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the trial ended: well, by a signal, or with an error in words."""

    tokens: int = 0
    signal: int = 0
    error: str = ""
    last_line: str = ""
    """Of the runner's log."""

    @property
    def passed(self) -> bool:
        return not self.signal and not self.error


async def check(build: Build | None, environ: Mapping[str, str] = os.environ) -> None:
    """Try the native code unless it has passed before, and log what there is to say. Raises only when cancelled."""
    processor = await asyncio.to_thread(read_processor)
    mark = await asyncio.to_thread(mark_path, build, processor, environ)
    if await asyncio.to_thread(mark.exists):
        return
    with as_file(files("modelstore.bundled") / "tinychat.gguf") as weights:
        verdict = await decode(weights)
    if verdict.passed:
        await asyncio.to_thread(_remember, mark)
        return
    if verdict.signal in _STOPPED_BY_US:
        return
    for line in explain(verdict.signal, verdict.error, verdict.last_line, build, processor):
        _log.error(line)


async def decode(weights: Path, command: Sequence[str] = RUNNER, timeout: float = TIMEOUT) -> Verdict:
    """Load `weights` in a process of their own and let it generate."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
    except OSError as error:
        return Verdict(error=f"cannot start the runner: {error}")
    log = asyncio.create_task(_last_line(process))
    try:
        verdict = await asyncio.wait_for(_converse(process, weights), timeout)
    except TimeoutError:
        verdict = Verdict(error=f"no answer within {timeout:g} s")
    except ValueError as error:
        verdict = Verdict(error=f"the runner does not speak our frames: {error}")
    finally:
        await _end(process)
        last_line = await log
    code = process.returncode or 0
    by_signal = -code if code < 0 and not verdict.tokens and not verdict.error else 0
    error = verdict.error or ("" if by_signal or verdict.tokens else f"the runner ended with status {code}")
    return Verdict(tokens=verdict.tokens, signal=by_signal, error=error, last_line=last_line)


async def _converse(process: asyncio.subprocess.Process, weights: Path) -> Verdict:
    """Ask and read until there is an answer, or until the runner's end: an empty verdict."""
    assert process.stdout is not None
    load = frames.Load(weights=[str(weights)], num_ctx=256, parallel=1, num_batch=128)
    wanted = frames.Generate(id=1, prompt=_PROMPT, sampling=frames.Sampling(temperature=0.0), num_predict=TOKENS)
    reader = frames.report_reader()
    await _send(process, load)
    while data := await process.stdout.read(1 << 16):
        for report in reader.feed(data):
            match report:
                case frames.Loaded():
                    await _send(process, wanted)
                case frames.Step(done=[done, *_]):
                    return Verdict(tokens=max(done.eval_tokens, 1))
                case frames.LoadFailed(message=message) | frames.Failed(message=message):
                    return Verdict(error=message)
                case _:
                    pass
    await process.wait()
    return Verdict()


async def _send(process: asyncio.subprocess.Process, frame: frames.Frame) -> None:
    """A runner that is gone is noticed where its answers end."""
    assert process.stdin is not None
    with suppress(ConnectionError):
        process.stdin.write(frames.encode(frame))
        await process.stdin.drain()


async def _last_line(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    last = b""
    while data := await process.stderr.read(1 << 16):
        last = (last + data)[-(1 << 12) :]
    lines = last.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def mark_path(build: Build | None, processor: Processor, environ: Mapping[str, str] = os.environ) -> Path:
    """Where it stands that this build has passed on this processor."""
    state = hashlib.sha256(repr((build.key if build else "", processor, _libraries())).encode())
    base = environ.get("XDG_CACHE_HOME", "")
    cache = Path(base) if os.path.isabs(base) else Path(environ.get("HOME") or Path.home()) / ".cache"
    return cache / "llamad" / "selftest" / state.hexdigest()[:32]


def _libraries() -> list[tuple[str, int, int]]:
    """Name, size and time of the native libraries, without loading them."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return []
    found = sorted((Path(spec.origin).parent / "lib").glob("lib*"))
    return [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in found]


def _remember(mark: Path) -> None:
    """A cache that cannot be written only means that the trial runs again."""
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
