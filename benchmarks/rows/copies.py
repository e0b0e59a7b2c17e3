"""Proposals of tokens where the answer repeats passages of the prompt.

The prompt is a text whose passages have changed places, and its last word the text's first; the model continues with
the text in order. So each passage stands in the prompt, but none stands before the one that follows it in the answer:
a proposal that runs over a passage's end is wrong. The answer is known beforehand, and compared.
"""

import random
import statistics
from collections.abc import Sequence
from typing import Final

from benchmarks import streaming, vocabulary
from benchmarks.errors import ModelMismatch
from benchmarks.ledger import ALONE, OURS, Limit, Row
from benchmarks.native import text_of
from benchmarks.rows.stand import Group, Stand
from benchmarks.shapes import Shape
from benchmarks.sides import Asking, Side

_TEXT_WORDS: Final = 640
_PASSAGE: Final = 24
"""Words: a few lines of code, a sentence."""
_ANSWER_TOKENS: Final = 192
_ANSWERS: Final = 3
_LIMIT: Final = (Limit(1.5, ALONE),)


async def _measure(stand: Stand) -> None:
    for subject in stand.subjects:
        model = stand.model(subject.copying)
        row = Row(f"{subject.shape.name} decode, copied text", "tok/s", more_is_better=True, limits=_LIMIT)
        for proposals in (False, True):
            await stand.ours.load(model, proposals=proposals)
            tokens = stand.tokens(_ANSWER_TOKENS)
            rates = [await _rate(stand.ours, seed, tokens) for seed in range(1 + stand.times(_ANSWERS))]
            stand.ledger.note(row, OURS if proposals else ALONE, statistics.median(rates[1:]))
            await stand.ours.unload()


async def _rate(side: Side, seed: int, tokens: int) -> float:
    """Tokens a second between the first and the last one. Raises `ModelMismatch` when the answer is another."""
    prompt, expected = puzzle(seed)
    answer = await streaming.ask_once(side, Asking(prompt, tokens, greedy=True))
    if (text := text_of(answer.body)).split() != expected[:tokens]:
        raise ModelMismatch(f"the answer is not a copy: it begins with {text[:40]!r} instead of {expected[:4]}")
    return (tokens - 1) / (answer.last - answer.first_text)


def puzzle(seed: int) -> tuple[str, list[str]]:
    """A prompt, and the words that the model says to it."""
    text = vocabulary.consecutive(seed * _TEXT_WORDS, _TEXT_WORDS)
    passages = [text[i : i + _PASSAGE] for i in range(0, _TEXT_WORDS, _PASSAGE)]
    random.Random(seed).shuffle(passages)
    words = [word for passage in passages for word in passage]
    return " ".join([*words, text[0]]), text[1:]


def _shapes(stand: Stand) -> Sequence[Shape]:
    return [subject.copying for subject in stand.subjects]


COPIES: Final = Group("copies", _measure, shapes=_shapes)
