"""Texts to vectors: what is read of a request before it is computed, and what is made of the vectors afterwards.

The computing in between is `embedder.py`.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.engine import Vocabulary

TOO_LONG: Final = "the input length exceeds the context length"
NO_ROOM: Final = "input after truncation exceeds maximum context length"
_SPECIALS: Final = 2
"""Most tokens that a tokenizer puts around a text."""
_LEAST_LENGTH: Final = 1e-12

Vector: TypeAlias = NDArray[np.float32]
Answer: TypeAlias = Callable[[Sequence[Vector], int], frames.Frame]
"""Makes the answer of the vectors, in the order of the inputs, and of the tokens that were evaluated. Raises
`EmbedError`."""


class EmbedError(ValueError):
    """One input cannot be embedded. The client's fault."""


class EmbedJob:
    """One request, its inputs tokenised, and the vectors that it has so far."""

    def __init__(self, id: int, inputs: list[list[int]], answer: Answer) -> None:
        self.id = id
        self.inputs = inputs
        self._answer = answer
        self._vectors: dict[int, Vector] = {}
        self._order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
        self._sizes = [len(inputs[index]) for index in self._order]
        self.tokens = sum(self._sizes)
        self.waiting = self.tokens
        """Tokens of the inputs that nobody has taken yet."""

    @property
    def longest(self) -> int:
        """Tokens of the longest input that nobody has taken yet; 0 when there is none."""
        return self._sizes[-1] if self._sizes else 0

    def take(self, room: int) -> int | None:
        """The longest input of at most `room` tokens that nobody has taken yet."""
        at = bisect_right(self._sizes, room) - 1
        if at < 0:
            return None
        self.waiting -= self._sizes.pop(at)
        return self._order.pop(at)

    def put(self, index: int, vector: Vector) -> None:
        """The vector of one input."""
        self._vectors[index] = vector

    @property
    def complete(self) -> bool:
        """Whether every input has its vector."""
        return len(self._vectors) == len(self.inputs)

    def answer(self) -> frames.Frame:
        """What the client is sent once it is complete."""
        try:
            return self._answer([self._vectors[index] for index in range(len(self.inputs))], self.tokens)
        except EmbedError as error:
            return frames.Failed(self.id, str(error), 400)


# -- before -------------------------------------------------------------------------------------------------------


def prepare(request: frames.Embed, vocabulary: Vocabulary, *, limit: int, batch: int, raw: bool | None) -> EmbedJob:
    """Tokenise and cut the inputs. Raises `EmbedError` for one that is too long or empty.

    `limit` is the context in tokens, special tokens included; `batch` what one decode can hold. `raw`: whether vectors
    keep their length if the request does not mind; None: always, because they are scores.
    """
    inputs = [_prepare_one(text, request, vocabulary, limit, batch) for text in request.inputs]
    unit = raw is not None and (request.normalize or not raw)

    def answer(vectors: Sequence[Vector], tokens: int) -> frames.Frame:
        if not vectors:
            return frames.Embedded(request.id, [], 0)
        rows = finish(np.stack(vectors), unit=unit, dimensions=0 if raw is None else request.dimensions)
        return frames.Embedded(request.id, encode_rows(rows, request.encoding), tokens)

    return EmbedJob(request.id, inputs, answer)


def _prepare_one(text: str, request: frames.Embed, vocabulary: Vocabulary, limit: int, batch: int) -> list[int]:
    tokens = vocabulary.tokenize(text, add_special=True)
    if 0 < len(tokens) <= min(limit, batch) - _SPECIALS:
        return tokens  # whatever is cut off below, nothing would be
    plain = vocabulary.tokenize(text)
    room = _room(plain, vocabulary, limit)
    if plain and room <= 0:
        raise EmbedError(NO_ROOM)
    if len(plain) > room and not request.truncate:
        raise EmbedError(TOO_LONG)
    tokens = _with_specials(plain, text, room, vocabulary)
    if len(tokens) > batch:
        if not request.truncate:
            raise EmbedError(TOO_LONG)
        room = _room(plain, vocabulary, batch)
        if room <= 0:
            raise EmbedError("input exceeds maximum context length and cannot be truncated further")
        tokens = _with_specials(plain, text, room, vocabulary)
    if not tokens:
        raise EmbedError("the input has no tokens")
    return tokens


def _with_specials(plain: list[int], text: str, room: int, vocabulary: Vocabulary) -> list[int]:
    if len(plain) > room:
        text = vocabulary.detokenize(plain[:room])
    return vocabulary.tokenize(text, add_special=True)[: room + _SPECIALS]


def _room(plain: Sequence[int], vocabulary: Vocabulary, limit: int) -> int:
    """Places for tokens of the text itself: one less for each special token that is not already there."""
    if not plain:
        return limit
    return limit - (plain[0] != vocabulary.bos_id) - (plain[-1] != vocabulary.eos_id)


# -- after --------------------------------------------------------------------------------------------------------


def finish(rows: Vector, *, unit: bool, dimensions: int = 0) -> Vector:
    """Vectors (a row each) as they are answered: of length 1 if `unit`, cut to the dimensions asked for and scaled
    again. Raises `EmbedError` for one that is not finite."""
    if not np.isfinite(rows).all():
        raise EmbedError("embedding contains NaN or Inf values")
    if unit:
        rows = _unit(rows)
    if 0 < dimensions < rows.shape[1]:
        rows = _unit(rows[:, :dimensions])
    return rows


def _unit(rows: Vector) -> Vector:
    lengths = np.sqrt(np.square(rows, dtype=np.float32).sum(axis=1, dtype=np.float64, keepdims=True))
    return (rows / np.maximum(lengths, _LEAST_LENGTH).astype(np.float32)).astype(np.float32)


def encode_rows(rows: Vector, encoding: str) -> list[bytes]:
    """Vectors as a request wants them; JSON numbers are the shortest that give the same value back."""
    if encoding == "float32":
        return [row.astype("<f4").tobytes() for row in rows]
    import orjson

    array: Any = np.ascontiguousarray(rows, dtype=np.float32 if encoding == "json32" else np.float64)
    return [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in array]
