"""What a layout of the KV cache costs: `python -m benchmarks.layout MODEL`.

One pool for all sequences or a stream for each; forking a prefix by the engine's sequence copy or through a copy of its
state. The layouts take turns within each round; figures are medians over the rounds, in milliseconds.
docs/adr/0002-kv-per-sequence.md draws the conclusions.
"""

import argparse
import ctypes
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

_SEQUENCES: Final = 4
_CELLS: Final = 2048
_PREFIX: Final = 1500
_STEPS: Final = 32


class Bench:
    """A context of four sequences in one layout."""

    def __init__(self, model: Any, *, unified: bool, threads: int) -> None:
        from scheduler.runner.engine.library import native

        self.lib = native()
        params = self.lib.llama_context_default_params()
        params.n_ctx = _CELLS * _SEQUENCES
        params.n_seq_max = _SEQUENCES
        params.n_batch = params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = unified
        self.pointer = self.lib.llama_init_from_model(model.pointer, params)
        self.memory = self.lib.llama_get_memory(self.pointer)
        self.batch = self.lib.llama_batch_init(512, 0, 1)
        self.unified = unified

    def decode(self, sequences: list[int], start: int, count: int) -> None:
        """`count` tokens from `start` on for each of the sequences."""
        batch, row = self.batch, 0
        for sequence in sequences:
            for position in range(start, start + count):
                batch.token[row] = 300 + position % 1500
                batch.pos[row] = position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = sequence
                batch.logits[row] = position == start + count - 1
                row += 1
        batch.n_tokens = row
        assert self.lib.llama_decode(self.pointer, batch) == 0

    def prefill(self, sequence: int) -> None:
        """The prefix, in batches."""
        for start in range(0, _PREFIX, 500):
            self.decode([sequence], start, 500)

    def steps(self, sequences: list[int]) -> None:
        """A token at a time, beside whatever else is stored; forgotten afterwards."""
        for step in range(_STEPS):
            self.decode(sequences, _PREFIX + step, 1)
        for sequence in sequences:
            self.lib.llama_memory_seq_rm(self.memory, sequence, _PREFIX, -1)

    def fork_by_copy(self) -> None:
        """The engine's copy is made with the next decode."""
        end = -1 if not self.unified else _PREFIX - 1
        self.lib.llama_memory_seq_rm(self.memory, 1, -1, -1)
        self.lib.llama_memory_seq_cp(self.memory, 0, 1, -1 if not self.unified else 0, end)
        self.lib.llama_memory_seq_rm(self.memory, 1, _PREFIX - 1, -1)
        self.decode([1], _PREFIX - 1, 1)

    def fork_by_state(self) -> None:
        """Out of one sequence and into another."""
        size = self.lib.llama_state_seq_get_size(self.pointer, 0)
        state = np.empty(size, np.uint8).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        assert self.lib.llama_state_seq_get_data(self.pointer, state, size, 0) == size
        assert self.lib.llama_state_seq_set_data(self.pointer, state, size, 1) == size
        self.lib.llama_memory_seq_rm(self.memory, 1, _PREFIX - 1, -1)
        self.decode([1], _PREFIX - 1, 1)

    def again(self) -> None:
        """The decode that both forks end with, alone."""
        self.lib.llama_memory_seq_rm(self.memory, 1, _PREFIX - 1, -1)
        self.decode([1], _PREFIX - 1, 1)


def timed(work: Callable[[], None]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def take_turn(bench: Bench, rows: dict[str, list[float]]) -> None:
    """One round of one layout."""
    for sequence in (1, 2, 3):
        bench.lib.llama_memory_seq_rm(bench.memory, sequence, -1, -1)
    rows["step, 1 stream alone"].append(timed(lambda: bench.steps([0])) / _STEPS)
    rows["prefill"].append(timed(lambda: bench.prefill(1)))
    bench.prefill(2)
    bench.prefill(3)
    rows["step, 1 stream beside 3 idle"].append(timed(lambda: bench.steps([0])) / _STEPS)
    rows["step, 4 streams"].append(timed(lambda: bench.steps([0, 1, 2, 3])) / _STEPS)
    plain = timed(bench.again)
    rows["fork by seq_cp"].append(timed(bench.fork_by_copy) - plain)
    rows["fork by state"].append(timed(bench.fork_by_state) - plain)


def measure(path: str, rounds: int, threads: int) -> dict[str, dict[str, float]]:
    """Medians by layout and row."""
    from scheduler.runner.engine import EngineLog, Model, ModelParams

    model = Model(ModelParams([path]), EngineLog(), lambda _: None)
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in ("streams", "pool")}
    benches = {
        "streams": Bench(model, unified=False, threads=threads),
        "pool": Bench(model, unified=True, threads=threads),
    }
    for bench in benches.values():
        bench.prefill(0)
    for _ in range(rounds):
        for name, bench in benches.items():
            take_turn(bench, found[name])
    return {name: {row: statistics.median(times) for row, times in rows.items()} for name, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layout", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    silenced = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    found = measure(str(Path(arguments.model).resolve()), arguments.rounds, arguments.threads)
    os.dup2(silenced, 2)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
