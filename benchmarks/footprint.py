"""Memory of one runner beyond what the engine says it needs.

The runner is started and loaded as the daemon does it, by frames over pipes: only so do the engine's own figures of
weights, KV cache and compute buffers come back, with the frame that reports the model ready.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from benchmarks import proc, vocabulary
from benchmarks.errors import BenchmarkError
from benchmarks.folders import ROOT
from benchmarks.looppass import load_frame
from benchmarks.sides import Setting
from scheduler import frames
from scheduler.environment import glibc_version, runner_environment

_CHUNK: Final = 1 << 16
_PROMPT_WORDS: Final = 512
"""Long enough that the compute buffers are in use."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes."""

    private: int
    engine: int
    """Weights, KV cache, compute and output buffers, as the engine logs them."""

    @property
    def beyond(self) -> int:
        """What the runner takes above the engine's figures."""
        return self.private - self.engine


def measure(model: Path, setting: Setting) -> Footprint:
    """Load the model into a runner, generate a little on every slot, and look. Raises `BenchmarkError`."""
    with subprocess.Popen(
        [sys.executable, "-m", "scheduler.runner"],
        env=runner_environment(os.environ, {}, glibc=glibc_version()),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        reports = _reports(process.stdout)
        try:
            _send(process.stdin, load_frame(model, setting))
            loaded = _await_loaded(reports)
            for slot in range(setting.slots):
                prompt = vocabulary.prompt(_PROMPT_WORDS, slot)
                _send(process.stdin, frames.Generate(slot + 1, prompt, num_predict=8))
            _await_answers(reports, setting.slots)
            private = proc.private_bytes(process.pid)
        finally:
            process.stdin.close()
    return Footprint(private, sum(buffer.size for buffer in loaded.buffers))


def _send(pipe: IO[bytes], frame: frames.Frame) -> None:
    pipe.write(frames.encode(frame))
    pipe.flush()


def _reports(pipe: IO[bytes]) -> Iterator[frames.Report]:
    reader = frames.report_reader()
    while data := os.read(pipe.fileno(), _CHUNK):
        yield from reader.feed(data)


def _await_loaded(reports: Iterator[frames.Report]) -> frames.Loaded:
    for report in reports:
        if isinstance(report, frames.Loaded):
            return report
        if isinstance(report, frames.LoadFailed):
            raise BenchmarkError(f"the runner cannot load the model: {report.message}")
    raise BenchmarkError("the runner ended while it loaded the model")


def _await_answers(reports: Iterator[frames.Report], count: int) -> None:
    for report in reports:
        if isinstance(report, frames.Failed):
            raise BenchmarkError(f"the runner cannot generate: {report.message}")
        if isinstance(report, frames.Step):
            count -= len(report.done)
            if not count:
                return
    raise BenchmarkError("the runner ended while it generated")
