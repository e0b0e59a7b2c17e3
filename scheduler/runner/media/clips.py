"""Pieces of pictures and sounds on their way into the KV cache, and the shelf where they wait for the next request.

A piece is made ready for the encoder on the thread that reads requests, encoded and decoded on the engine's. Encoded
once, it lets go of its pixels and keeps its rows.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.engine import Context
from scheduler.runner.engine.projector import Chunk

CACHE_BYTES: Final = 256 << 20
CACHE_ENTRIES: Final = 64
_CACHE_RAW: Final = 8
"""Media kept that were never encoded: their pixels take more than their rows."""
_KNOWN_FILES: Final = 1024
_COMPUTE_ERROR: Final = -3


class Clip:
    """A chunk with a name made from its content. Implements `sequence.Media`."""

    def __init__(self, chunk: Chunk, index: int) -> None:
        """`index`: its place among the chunks of its medium."""
        self._chunk = chunk
        self._rows: NDArray[np.float32] | None = None
        self.tokens = chunk.tokens
        self.positions = chunk.positions
        self.key = hashlib.sha256(b"%d %s" % (index, chunk.facts)).digest()
        """Names content, place in its medium and way of encoding."""
        self.ids = _ids(self.key, chunk.tokens)

    @property
    def encoded(self) -> bool:
        """Whether what takes long about evaluating has been done."""
        return self._rows is not None

    def encode(self) -> bool:
        """Have its rows ready; what takes long about evaluating. False when the computation failed."""
        if self._rows is None:
            self._rows = self._chunk.encode()
        return self._rows is not None

    def evaluate(self, context: Context, sequence: int, position: int, *, logits: bool) -> int:
        """Encode it if need be and decode it into a sequence from a position; the engine's thread only.

        Codes are those of `Context.decode`; after a failure nothing of it is left in the sequence. With `logits` the
        last cell's can be read with `context.logits(-1)`.
        """
        if not self.encode() or self._rows is None:
            return _COMPUTE_ERROR
        places = self._chunk.places(position)
        causal = self._chunk.causal
        result = context.decode_embeddings(self._rows, places, sequence, logits_last=logits, causal=causal)
        if result != 0:
            context.remove(sequence, position)
        return result

    @property
    def raw(self) -> bool:
        """Whether it was not encoded yet."""
        return self._rows is None

    @property
    def size(self) -> int:
        """Bytes of its rows."""
        return self.tokens * self._chunk.width * 4


Medium: TypeAlias = Sequence[list[int] | Clip]
"""What stands for one picture or sound: its pieces, and the tokens that the model wants around them."""


class Shelf:
    """Media by content, the least recently used forgotten first. One thread's."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._media: OrderedDict[bytes, Medium] = OrderedDict()
        self._files: OrderedDict[bytes, bytes] = OrderedDict()

    def find(self, content: bytes) -> "Medium | None":
        """The medium with this content."""
        known = self._media.get(content)
        if known is not None:
            self._media.move_to_end(content)
        return known

    def find_file(self, file: bytes) -> "Medium | None":
        """The medium that a file with this hash turned out to be."""
        return self.find(self._files.get(file, b""))

    def remember(self, file: bytes, content: bytes) -> None:
        """What a file with this hash turned out to be."""
        self._files[file] = content
        if len(self._files) > _KNOWN_FILES:
            self._files.popitem(last=False)

    def put(self, content: bytes, medium: Medium) -> None:
        """Keep a medium, if it is not larger than everything that may be kept."""
        size = sum(clip.size for clip in _clips(medium))
        if size > self._limit:
            return
        raw = [key for key, kept in self._media.items() if any(clip.raw for clip in _clips(kept))]
        for key in raw[: max(len(raw) - _CACHE_RAW + 1, 0)]:
            self._drop(key)
        self._media[content] = medium
        self._taken += size
        while self._taken > self._limit or len(self._media) > CACHE_ENTRIES:
            self._drop(next(iter(self._media)))

    def _drop(self, content: bytes) -> None:
        self._taken -= sum(clip.size for clip in _clips(self._media.pop(content)))


def _clips(medium: Medium) -> Iterator[Clip]:
    return (one for one in medium if isinstance(one, Clip))


def _ids(key: bytes, count: int) -> list[int]:
    """Negative numbers of 64 bits, each with bits of its own from the hash: two media that differ would have to agree
    in all of them to be taken for one another."""
    bits = np.frombuffer(hashlib.shake_256(key).digest(8 * count), np.int64)
    ids: list[int] = (bits | np.int64(-1 << 63)).tolist()
    return ids
