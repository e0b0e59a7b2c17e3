"""Documents against a query: a model with a ranking head reads both together and gives the pair a score."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from scheduler import frames
from scheduler.runner.embedding.embed import NO_ROOM, TOO_LONG, EmbedError, EmbedJob, Vector, finish
from scheduler.runner.engine import Vocabulary

NO_HEAD: Final = "this model has no ranking head: it cannot score documents"
_HEADS: Final = ("cls.weight", "cls.output.weight")
_SOFTMAX: Final = ("qwen3", "qwen3vl")
"""Architectures whose heads choose between yes and no; the engine answers with the probability of yes."""
_PLACES: Final = re.compile(r"\{(query|document)\}")


def has_head(weights: Sequence[str]) -> bool:
    """Whether one of a model's files carries a ranking head: a file may ask for scores without one."""
    from modelstore.gguf import read_header

    return any(tensor.name in _HEADS for path in weights for tensor in read_header(Path(path)).tensors)


def prepare(
    request: frames.Rank, vocabulary: Vocabulary, *, limit: int, template: str = "", architecture: str = ""
) -> EmbedJob:
    """Tokenise the pairs, each of at most `limit` tokens. Raises `EmbedError` for one that is too long.

    `template` is the file's own way to write a pair, with `{query}` and `{document}`; empty where it has none.
    """
    probabilities = architecture in _SOFTMAX
    pair = _templated(vocabulary, template, request.query) if template else _marked(vocabulary, request.query)
    inputs = [_fit(pair, document, request, vocabulary, limit) for document in request.documents]

    def answer(vectors: Sequence[Vector], tokens: int) -> frames.Frame:
        if not vectors:
            return frames.Ranked(request.id, [], 0, probabilities)
        rows = finish(np.stack(vectors), unit=False)
        return frames.Ranked(request.id, [float(row[0]) for row in rows], tokens, probabilities)

    return EmbedJob(request.id, inputs, answer)


def _templated(vocabulary: Vocabulary, template: str, query: str) -> Callable[[str], list[int]]:
    def pair(document: str) -> list[int]:
        texts = {"query": query, "document": document}
        return vocabulary.tokenize(_PLACES.sub(lambda place: texts[place[1]], template))

    return pair


def _marked(vocabulary: Vocabulary, query: str) -> Callable[[str], list[int]]:
    front, between, end = vocabulary.pair_marks
    before = [*front, *vocabulary.tokenize(query), *between]
    return lambda document: [*before, *vocabulary.tokenize(document), *end]


def _fit(
    pair: Callable[[str], list[int]], document: str, request: frames.Rank, vocabulary: Vocabulary, limit: int
) -> list[int]:
    """The pair, the end of its document cut off as far as need be."""
    tokens = pair(document)
    if len(tokens) <= limit:
        return tokens
    if not request.truncate:
        raise EmbedError(TOO_LONG)
    plain = vocabulary.tokenize(document)
    kept = len(plain)
    while (excess := len(tokens) - limit) > 0:
        kept -= excess
        if kept <= 0:
            raise EmbedError(NO_ROOM)
        tokens = pair(vocabulary.detokenize(plain[:kept]))
    return tokens
