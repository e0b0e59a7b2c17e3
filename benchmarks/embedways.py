"""Ways to pack texts for an embedding model: `python -m benchmarks.embedways MODEL`.

For texts of several lengths: CPU time on one thread, as a multiple of the quickest way's, and how far a text's vector
is from its own alone. The ways take turns within each round; a figure is the least of the rounds.
docs/adr/0005-embeddings.md draws the conclusions.
"""

import argparse
import random
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

_TEXTS: Final = 96
_LENGTHS: Final = (8, 18, 32, 48, 96, 192)
_SEQUENCES: Final = 32
_ROWS: Final = 512


@dataclass(frozen=True)
class Way:
    """`rows`: most tokens that share a decode; 0: each text alone."""

    name: str
    flash: bool
    rows: int


_WAYS: Final = (
    Way("flash, 256 rows", flash=True, rows=256),
    Way("flash, 63 rows", flash=True, rows=63),
    Way("flash, alone", flash=True, rows=0),
    Way("no flash, 256 rows", flash=False, rows=256),
    Way("no flash, alone", flash=False, rows=0),
)


class Bench:
    """A context with flash attention and one without."""

    def __init__(self, path: str) -> None:
        from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelParams

        log = EngineLog()
        self._model = Model(ModelParams([path]), log, lambda _: None)
        self._contexts = {
            flash: Context(
                self._model,
                ContextParams(_ROWS, _SEQUENCES, _ROWS, threads=1, embedding=True, flash_attention=flash),
                log,
            )
            for flash in (True, False)
        }

    def texts(self, length: int) -> list[list[int]]:
        """Tokens at random, half as many to one and a half times as many as `length`."""
        chance = random.Random(length)
        sizes = (chance.randint(length - length // 2, length + length // 2) for _ in range(_TEXTS))
        vocabulary = self._model.vocabulary
        return [[vocabulary.bos_id, *chance.choices(range(200, vocabulary.size), k=size)] for size in sizes]

    def embed(self, texts: list[list[int]], way: Way) -> Any:
        """Unit vectors, a row each."""
        found: list[Any] = []
        pack: list[list[int]] = []
        for text in texts:
            if pack and (sum(map(len, pack)) + len(text) > way.rows or len(pack) == _SEQUENCES):
                found += self._decode(pack, flash=way.flash)
                pack = []
            pack.append(text)
        rows = np.array(found + self._decode(pack, flash=way.flash))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _decode(self, pack: list[list[int]], *, flash: bool) -> list[Any]:
        context = self._contexts[flash]
        row = 0
        for sequence, text in enumerate(pack):
            end = row + len(text)
            context.tokens[row:end] = text
            context.positions[row:end] = range(len(text))
            context.sequences[row:end] = sequence
            row = end
        context.outputs[:row] = 1
        assert context.decode(row) == 0
        vectors = [context.embedding_of_sequence(sequence).copy() for sequence in range(len(pack))]
        context.clear()
        return vectors


def main() -> None:
    """A line for each way and length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    bench = Bench(given.model)
    print(f"{'tokens':>8}  {'way':20}{'time':>8}  far from alone")
    for length in _LENGTHS:
        texts = bench.texts(length)
        least = dict.fromkeys(_WAYS, float("inf"))
        for way in _WAYS * given.rounds:
            began = time.process_time()
            bench.embed(texts, way)
            least[way] = min(least[way], time.process_time() - began)
        for way, took in least.items():
            alone = bench.embed(texts, Way("", flash=way.flash, rows=0))
            far = np.abs(bench.embed(texts, way) - alone).max()
            print(f"{length:8}  {way.name:20}{took / min(least.values()):8.2f}  {far:.0e}", flush=True)


if __name__ == "__main__":
    main()
