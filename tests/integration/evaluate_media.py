"""`python -m tests.integration.evaluate_media MODEL PROJECTOR BATCH`: prompts with media through a loaded model.

Reads a JSON list of [prompt, [media in base64], tokens to generate] and writes one object for each: what was read, and
the greedy continuation. It drives the model as the loop does, so that what the loop adds cannot hide a mistake.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from scheduler import frames
from scheduler.runner import loaded
from scheduler.runner.sequence import Media

MODELS = Path(__file__).parent.parent / "models"


class Driver:
    """One sequence of one model."""

    def __init__(self, model: str, projectors: list[str], batch: int) -> None:
        loaded.LEAST_PICTURE.clear()  # pictures in their own size, as those who computed what is expected took them
        load = frames.Load(
            weights=[str(MODELS / model)],
            num_ctx=2048,
            parallel=2,
            num_batch=batch,
            num_thread=1,
            projectors=[str(MODELS / projector) for projector in projectors],
        )
        self.model = loaded.LoadedModel(load, lambda _fraction: None)
        self.context = self.model.context
        assert self.model.media is not None
        self.reader = self.model.media

    def run(self, prompt: str, items: list[bytes], count: int, sequence: int) -> dict[str, Any]:
        segments = self.reader.read(prompt, items)
        self.context.remove(sequence, 0)
        position = 0
        for number, segment in enumerate(segments, 1):
            last = number == len(segments)
            if isinstance(segment, list):
                position = self.decode(segment, position, sequence)
            else:
                assert segment.evaluate(self.context, sequence, position, logits=last) == 0
                position += segment.positions
        return {"segments": list(map(described, segments)), "greedy": self.greedy(count, position, sequence)}

    def decode(self, tokens: list[int], position: int, sequence: int) -> int:
        context = self.context
        for start in range(0, len(tokens), context.batch_size):
            piece = tokens[start : start + context.batch_size]
            rows = len(piece)
            context.tokens[:rows] = piece
            context.positions[:rows] = range(position, position + rows)
            context.sequences[:rows] = sequence
            context.outputs[:rows] = 0
            context.outputs[rows - 1] = 1
            assert context.decode(rows) == 0
            position += rows
        return position

    def greedy(self, count: int, position: int, sequence: int) -> list[int]:
        tokens = [int(np.argmax(self.context.logits(-1)))]
        while len(tokens) < count and tokens[-1] not in self.model.end_tokens:
            position = self.decode(tokens[-1:], position, sequence)
            tokens.append(int(np.argmax(self.context.logits(-1))))
        return tokens

    def text(self, tokens: list[int]) -> str:
        return b"".join(map(self.model.piece, tokens)).decode("utf-8", "replace")


def described(segment: list[int] | Media) -> list[int] | dict[str, Any]:
    if isinstance(segment, list):
        return segment
    return {"tokens": segment.tokens, "positions": segment.positions, "ids": segment.ids}


def main() -> None:
    model, projectors, batch = sys.argv[1:]
    driver = Driver(model, projectors.split(","), int(batch))
    found: list[dict[str, Any]] = []
    for number, (prompt, items, count) in enumerate(json.load(sys.stdin)):
        one = driver.run(prompt, [base64.b64decode(item) for item in items], count, number % 2)
        found.append({**one, "text": driver.text(one["greedy"])})
    told = driver.model.describe()
    json.dump({"vision": told.vision, "audio": told.audio, "found": found}, sys.stdout)


if __name__ == "__main__":
    main()
