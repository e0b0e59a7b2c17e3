"""Vocabularies in which every word of three letters is one token, so that a prompt's length is known beforehand.

A SentencePiece tokenizer gets at a word by merging neighbours, two at a time, as long as what comes out is in the
vocabulary: besides the words it needs the letters, the pairs and the triples that lead to them.
"""

import itertools
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LETTERS: Final = string.ascii_lowercase
SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}"
"""Stands for the blank in front of a word, in both kinds of vocabulary."""
BOS: Final = 1
EOS: Final = 2

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_CLS: Final = 101
_SPECIAL: Final = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
_WORDS_AT: Final = 1_000
"""Words of an answer never matter, those of a prompt only by their number; these are a good mix of letters."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token texts with the type and score of each."""

    texts: list[str]
    types: list[int]
    scores: list[float]
    silent: int
    """So many tokens at the front are not text: control tokens and bytes, the end token among them."""


def triples() -> Iterator[str]:
    """aaa, aab … zzz."""
    return map("".join, itertools.product(LETTERS, repeat=3))


def sentencepiece(size: int) -> Vocabulary:
    """Three control tokens, the bytes, letters, pairs, triples, and as many words as there is place for."""
    control = ["<unk>", "<s>", "</s>"]
    raw = [f"<0x{byte:02X}>" for byte in range(256)]
    pairs = map("".join, itertools.product(LETTERS, repeat=2))
    plain = [SPACE, *LETTERS, *pairs, *triples()]
    silent = len(control) + len(raw)
    words = itertools.islice(triples(), max(size - silent - len(plain), 0))
    texts = [*control, *raw, *plain, *(SPACE + word for word in words)][:size]
    types = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * (len(texts) - silent)]
    scores = [0.0] * silent + [-float(len(plain) - i) for i in range(len(texts) - silent)]
    return Vocabulary(texts, types, scores, silent)


def wordpiece(size: int) -> Vocabulary:
    """BERT's special tokens at their usual places, letters, their continuations, and words."""
    texts = [_SPECIAL.get(token, f"[unused{token}]") for token in range(_CLS + 3)]
    silent = len(texts)
    texts += [SPACE + letter for letter in LETTERS]
    texts += LETTERS
    texts += [SPACE + word for word in itertools.islice(triples(), size - len(texts))]
    texts += [f"[filler{i}]" for i in range(size - len(texts))]
    types = [_CONTROL] * silent + [_NORMAL] * (size - silent)
    return Vocabulary(texts, types, [0.0] * size, silent)


def prompt(words: int, seed: int) -> str:
    """A text of so many words; other seeds give texts that share no beginning."""
    source = random.Random(seed)
    known = list(itertools.islice(triples(), _WORDS_AT, 2 * _WORDS_AT))
    return " ".join([known[seed % len(known)], *source.choices(known, k=words - 1)])


def consecutive(first: int, count: int) -> list[str]:
    """So many words in the order of the vocabulary."""
    return list(itertools.islice(triples(), _WORDS_AT + first, _WORDS_AT + first + count))
