"""Prompts with answers that leave no room for rounding, and how far a model agrees with its reference."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tools.models.families.engine import FLASH_OFF, Engine

WORDS = (
    "the a one that this old small young warm green wooden quiet bright heavy captain doctor teacher farmer child "
    "bridge river station garden market window letter bread music story finds follows collects carries opens paints "
    "near under before behind without after between and but because while when where slowly often never again today "
    "morning evening winter number water stone paper light"
).split()
SHORT, BASE, TAIL, LONG = 24, 420, 20, 700
"""Tokens, about: of a short prompt, of the base that others share, of what follows where another prompt leaves it, and
of a conversation that has gone on."""
CUTS = (0.98, 0.9, 0.7, 0.35, 0.05)
"""Where other prompts leave the long one, as shares of its words."""
COUNT = 10
"""Tokens of an answer."""
VARIETY = 3
"""Least different tokens in an answer: small random models like to fall into a rut, whatever came before."""
TRIES = 4000
BATCHES = (512, 64)


def reference_agreement(model: Path, wide: Path, reference: dict[str, Any]) -> dict[str, Any]:
    """Per sequence of the reference: tokens of its greedy continuation that agree, and the largest difference of its
    20 best logits; with the weights as stored, and in full precision throughout."""
    agreement: dict[str, Any] = {}
    for label, path, kv, flash in (("stored", model, "f16", -1), ("wide", wide, "f32", FLASH_OFF)):
        engine = Engine(path, kv, flash=flash)
        rows: list[dict[str, Any]] = []
        for sequence in reference["sequences"]:
            last = sequence.get("last", sequence)
            logits = engine.evaluate(sequence["ids"])
            wanted = sequence["greedy"]["ids"]
            got = engine.answer(sequence["ids"], len(wanted)).ids
            equal = next((n for n, pair in enumerate(zip(got, wanted, strict=True)) if pair[0] != pair[1]), len(wanted))
            difference = np.abs(logits[last["top20_ids"]] - np.array(last["top20_logits"])).max()
            rows.append({"greedy": len(wanted), "equal": equal, "max_difference": round(float(difference), 4)})
        agreement[label] = rows
        texts = reference["tokenization"]
        wrong = [one["text"] for one in texts if engine.tokenize(one["text"], special=False) != one["ids"]]
        agreement["tokenization"] = {"texts": len(texts), "wrong": wrong}
        engine.close()
    return agreement


class Author:
    """Writes prompts for one model until the answer to one is unmistakable: the same in one batch and in several, with
    half and full precision weights, with 8-bit KV memory where the model can have it, and by a wide margin."""

    def __init__(self, model: Path, wide: Path, margin: float) -> None:
        self._margin = margin
        self._engines = [Engine(model, batch=BATCHES[0]), Engine(model, batch=BATCHES[1]), Engine(wide, "f32")]
        self.quantized_memory = True
        try:
            self._engines.append(Engine(model, "q8_0"))
        except ValueError:
            self.quantized_memory = False
        self.first = self._engines[0]
        self._random = random.Random(model.stem)

    def close(self) -> None:
        """Free everything."""
        for engine in self._engines:
            engine.close()

    def write(self, start: str, tokens: int) -> dict[str, Any]:
        """A prompt that begins so and goes on for about so many tokens, with its answer."""
        for _ in range(TRIES):
            text = start
            ids = self.first.tokenize(text)
            while len(ids) < tokens:
                missing = max((tokens - len(ids)) // 4, 1)
                text += "".join(f" {self._random.choice(WORDS)}" for _ in range(missing))
                ids = self.first.tokenize(text)
            if entry := self._entry(text.lstrip(), self.first.tokenize(text.lstrip())):
                return entry
        raise ValueError("no prompt has an answer that is clear enough")

    def _entry(self, text: str, ids: list[int]) -> dict[str, Any] | None:
        answer = self.first.answer(ids, COUNT)
        said = self.first.text(answer.ids)
        if answer.margin < self._margin or said is None or len(set(answer.ids)) < VARIETY:
            return None
        if any(engine.answer(ids, COUNT).ids != answer.ids for engine in self._engines[1:]):
            return None
        return {
            "prompt": text,
            "ids": ids,
            "answer": said,
            "answer_ids": answer.ids,
            "logprobs": [round(value, 4) for value in answer.logprobs],
            "min_margin": round(answer.margin, 3),
        }

    def all(self) -> dict[str, Any]:
        """Short prompts, a base, its next turns, and prompts that leave the base early and late."""
        base = self.write("", BASE)
        following = self.write(base["prompt"] + base["answer"], len(base["ids"]) + COUNT + TAIL)
        return {
            "short": [self.write("", SHORT) for _ in range(3)],
            "base": base,
            "next": following,
            "long": self.write(following["prompt"] + following["answer"], LONG),
            "branches": [
                self.write(start, len(self.first.tokenize(start)) + TAIL) for start in _starts(base["prompt"])
            ],
        }


def _starts(text: str) -> Iterator[str]:
    words = text.split(" ")
    for share in CUTS:
        yield " ".join(words[: int(len(words) * share)])
