"""A real runner process, spoken to in frames."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler import frames

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "tests" / "models"
EXPECTED: dict[str, Any] = json.loads(gzip.decompress((MODELS / "expected.json.gz").read_bytes()))
GREEDY = frames.Sampling(temperature=0)


class Process:
    """A runner that waits for its model."""

    def __init__(self, environment: Mapping[str, str] | None = None, log: int = subprocess.DEVNULL) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scheduler.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "GGML_NO_BACKTRACE": "1", **(environment or {})},
            cwd=ROOT,
        )
        self._reader = frames.report_reader()
        self._waiting: list[frames.Report] = []

    def send(self, frame: frames.Command) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(frames.encode(frame))
        self.process.stdin.flush()

    def next(self) -> frames.Report:
        """The next report. Raises `EOFError` when there will be none."""
        assert self.process.stdout is not None
        while not self._waiting:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                raise EOFError
            self._waiting += self._reader.feed(data)
        return self._waiting.pop(0)

    def close(self) -> int:
        """End it; its exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait()
        self.process.stdout.close()
        return status


class Runner(Process):
    """A runner with a model, or with the news that there is none."""

    def __init__(
        self, load: frames.Load, environment: Mapping[str, str] | None = None, log: int = subprocess.DEVNULL
    ) -> None:
        super().__init__(environment, log)
        self.progress: list[float] = []
        self.send(load)
        self.loaded = self.next()
        while isinstance(self.loaded, frames.Progress):
            self.progress.append(self.loaded.fraction)
            self.loaded = self.next()

    def ask(self, frame: frames.Embed | frames.Rank | frames.Tokenize | frames.Detokenize) -> frames.Report:
        self.send(frame)
        while isinstance(report := self.next(), frames.Step):
            pass
        return report

    def run(self, *requests: frames.Generate) -> "Answers":
        for request in requests:
            self.send(request)
        answers = Answers()
        while len(answers.ends) < len(requests):
            answers.take(self.next())
        return answers

    def say(self, prompt: str, **fields: Any) -> str:
        """The text of one greedy answer."""
        return self.run(frames.Generate(id=1, prompt=prompt, sampling=GREEDY, **fields)).text(1)


class Answers:
    def __init__(self) -> None:
        self.deltas: list[frames.Delta] = []
        self.ends: dict[int, frames.Done | frames.Failed] = {}

    def take(self, report: frames.Report) -> None:
        if isinstance(report, frames.Step):
            self.deltas += report.deltas
            self.ends.update({done.id: done for done in report.done})
        elif isinstance(report, frames.Failed):
            self.ends[report.id] = report

    def text(self, id: int) -> str:
        return "".join(delta.text for delta in self.deltas if delta.id == id)

    def done(self, id: int) -> frames.Done:
        end = self.ends[id]
        assert isinstance(end, frames.Done)
        return end


def load(name: str, **changes: Any) -> frames.Load:
    """The frame for a file of tests/models."""
    settings: dict[str, Any] = {"num_ctx": 2048, "parallel": 1, "num_batch": 512, "num_thread": 1, **changes}
    return frames.Load(weights=[str(MODELS / name)], **settings)
