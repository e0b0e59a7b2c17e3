"""What a decode costs by its rows: `python -m benchmarks.steprows MODEL …`.

Rows of one sequence, each of which gives logits, as when guesses are verified. The numbers of rows take turns within
each round; figures are medians over the rounds, in decodes of one row. docs/adr/0006-speculation.md draws the
conclusions.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any, Final

_ROWS: Final = (1, 2, 3, 4, 5, 8, 12, 16, 17, 24, 32)
_BEFORE: Final = 256
"""Tokens that are stored already."""


def measure(path: str, rounds: int, threads: int) -> dict[int, float]:
    """Milliseconds of a decode by its rows."""
    from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelParams

    log = EngineLog()
    model = Model(ModelParams([path]), log, lambda _: None)
    context = Context(model, ContextParams(cells=512, sequences=1, batch=_BEFORE, threads=threads), log)
    _decode(context, 0, _BEFORE)
    found: dict[int, list[float]] = {rows: [] for rows in _ROWS}
    for _ in range(rounds):
        for rows, times in found.items():
            context.remove(0, _BEFORE)
            began = time.perf_counter()
            _decode(context, _BEFORE, rows)
            times.append((time.perf_counter() - began) * 1000)
    return {rows: statistics.median(times) for rows, times in found.items()}


def _decode(context: Any, position: int, rows: int) -> None:
    context.tokens[:rows] = range(300, 300 + rows)
    context.positions[:rows] = range(position, position + rows)
    context.sequences[:rows] = 0
    context.outputs[:rows] = 1
    assert context.decode(rows) == 0
    context.logit(rows - 1, 0)  # waits for a device that computes beside us


def main() -> None:
    """A line for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    print(f"{'rows':24}{'ms':>8}" + "".join(f"{rows:8}" for rows in _ROWS))
    for path in arguments.models:
        times = measure(path, arguments.rounds, arguments.threads)
        ratios = "".join(f"{time / times[1]:8.2f}" for time in times.values())
        print(f"{Path(path).stem[:23]:24}{times[1]:8.2f}{ratios}", flush=True)


if __name__ == "__main__":
    main()
