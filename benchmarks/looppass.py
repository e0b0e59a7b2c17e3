"""`python -m benchmarks.looppass MODEL`: what a pass of the runner's loop costs beside the engine.

Runs the real loop on the real engine, in the environment of a runner, with a clock around every decode and every
choice of a token. What is left of a pass is ours: filling the batch, handling tokens, text, frames, and writing them
into a pipe that another process empties. Prints one JSON object.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import vocabulary
from benchmarks.errors import BenchmarkError
from benchmarks.folders import ROOT
from benchmarks.sides import SAMPLING, Setting
from scheduler import frames
from scheduler.environment import glibc_version, runner_environment

_PROMPT_WORDS: Final = 32
_DROPPED: Final = 100
"""One of so many passes, the slowest, does not count: on a busy machine it has waited for another program."""


@dataclass(frozen=True, slots=True)
class PassCost:
    """Microseconds of a pass in which every stream generates; means, but for `rest_median`."""

    streams: int
    passes: int
    decode: float
    sample: float
    rest: float
    rest_median: float


@dataclass(slots=True)
class Stopwatch:
    """Nanoseconds spent in wrapped calls since the last `take`."""

    spent: int = 0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, timed."""
        clock = time.perf_counter_ns

        def timed(*arguments: Any) -> Any:
            began = clock()
            result = call(*arguments)
            self.spent += clock() - began
            return result

        return timed

    def take(self) -> int:
        """What was spent, and begin again."""
        spent, self.spent = self.spent, 0
        return spent


def measure(model: Path, setting: Setting, *, streams: int, passes: int) -> PassCost:
    """Run this module in a process of its own. Raises `BenchmarkError`."""
    options = ["--streams", str(streams), "--passes", str(passes), "--threads", str(setting.threads)]
    options += ["--slots", str(setting.slots), "--slot-tokens", str(setting.slot_tokens)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.looppass", str(model), *options],
        env=runner_environment(os.environ, {}, glibc=glibc_version()),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"looppass ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return PassCost(**json.loads(done.stdout))


def summarise(streams: int, passes: Sequence[tuple[int, int, int]]) -> PassCost:
    """From (whole, decode, sample) of each pass in nanoseconds; those with the longest rest are left out."""
    rests = sorted((whole - decode - sample, decode, sample) for whole, decode, sample in passes)
    kept = rests[: len(rests) - len(rests) // _DROPPED]
    rest, decode, sample = (statistics.fmean(column) / 1000 for column in zip(*kept, strict=True))
    return PassCost(streams, len(kept), decode, sample, rest, statistics.median(row[0] for row in kept) / 1000)


def run_loop(load: frames.Load, *, streams: int, passes: int, descriptor: int) -> PassCost:
    """Generate on `streams` sequences; frames go to `descriptor`."""
    # The engine's library must not get into the process that steers a benchmark.
    from scheduler.runner.batch import Batcher
    from scheduler.runner.cache.slots import Slots
    from scheduler.runner.loaded import LoadedModel
    from scheduler.runner.outbox import Outbox, Pipe

    model: Any = LoadedModel(load, lambda _: None)
    decoding, sampling = _instrument(model)
    outbox = Outbox(Pipe(descriptor).write)
    batcher = Batcher(model, Slots(model.slots, model.context), outbox, speculator=model.speculator)
    _submit(batcher, model, streams)
    gc.collect()
    gc.freeze()
    for _ in range(max(passes // 10, 8)):  # prompts, and what is slow only once
        batcher.step()
    decoding.take()
    sampling.take()
    taken: list[tuple[int, int, int]] = []
    for _ in range(passes):
        began = time.perf_counter_ns()
        batcher.step()
        taken.append((time.perf_counter_ns() - began, decoding.take(), sampling.take()))
    return summarise(streams, taken)


def _instrument(model: Any) -> tuple[Stopwatch, Stopwatch]:
    """Clocks around the model's decodes and around the choices of its chains."""
    decoding, sampling = Stopwatch(), Stopwatch()
    model.context.decode = decoding.around(model.context.decode)
    make_chain = model.chain

    def timed_chain(*arguments: Any) -> Any:
        chain = make_chain(*arguments)
        chain.sample = sampling.around(chain.sample)
        return chain

    model.chain = timed_chain
    return decoding, sampling


def _submit(batcher: Any, model: Any, streams: int) -> None:
    from scheduler.runner.limits import fit_prompt
    from scheduler.runner.sequence import Job

    for i in range(streams):
        tokens = model.vocabulary.prompt_tokens(vocabulary.prompt(_PROMPT_WORDS, i))
        fit = fit_prompt(tokens, model.num_ctx, num_keep=4, adds_bos=True, truncate=True, shift=True)
        request = frames.Generate(i + 1, "", sampling=_sampling(), num_predict=model.num_ctx)
        batcher.submit(Job(request, fit, model.chain(request.sampling, tokens)))


def _sampling() -> frames.Sampling:
    return frames.Sampling(
        temperature=SAMPLING["temperature"],
        top_k=int(SAMPLING["top_k"]),
        top_p=SAMPLING["top_p"],
        min_p=SAMPLING["min_p"],
        repeat_penalty=SAMPLING["repeat_penalty"],
    )


def load_frame(model: Path, setting: Setting, *, batch: int = 1024) -> frames.Load:
    """What the daemon would send for this setting on a machine without GPUs."""
    return frames.Load(
        [str(model)],
        num_ctx=setting.slot_tokens,
        parallel=setting.slots,
        num_batch=batch,
        num_gpu=0,
        use_mmap=False,
        num_thread=setting.threads,
    )


def main() -> None:
    """The measuring process."""
    usual = Setting()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.looppass")
    parser.add_argument("model", type=Path)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--passes", type=int, default=500)
    parser.add_argument("--threads", type=int, default=usual.threads)
    parser.add_argument("--slots", type=int, default=usual.slots)
    parser.add_argument("--slot-tokens", type=int, default=usual.slot_tokens)
    arguments = parser.parse_args()
    setting = Setting(arguments.threads, arguments.slots, arguments.slot_tokens)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        cost = run_loop(
            load_frame(arguments.model, setting),
            streams=arguments.streams,
            passes=arguments.passes,
            descriptor=reader.stdin.fileno(),
        )
        reader.stdin.close()
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main()
