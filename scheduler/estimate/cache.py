"""What a model keeps of the tokens it has seen: keys and values of each layer, states of recurrent ones.

The engine has a stream of cells for each sequence (docs/adr/0002-kv-per-sequence.md). A layer with a sliding window has
as many cells as the window and a physical batch take; a recurrent one has a row for each sequence instead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.requests import Block

_BITS: Final = {
    "f32": 32.0,
    "f16": 16.0,
    "bf16": 16.0,
    "q8_0": 8.5,
    "q5_1": 6.0,
    "q5_0": 5.5,
    "q4_1": 5.0,
    "q4_0": 4.5,
    "iq4_nl": 4.5,
}
"""Bits of one element in the cache, block scales included (ggml's block formats)."""
_STEP: Final = 256
"""The engine rounds the cells of a stream up to a multiple of this."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Places for tokens in the cache."""

    stream: int
    """Of one stream."""
    streams: int
    sequences: int
    rows: int
    """Tokens that are computed together."""

    def behind(self, window: int) -> int:
        """Cells of one stream of a layer that looks back on `window` tokens; 0: on all."""
        if window <= 0:
            return self.stream
        sharing = self.sequences if self.streams == 1 else 1
        return min(self.stream, _rounded(window * sharing + self.rows))


def cells_of(num_ctx: int, sequences: int, rows: int, *, shared: bool) -> Cells:
    """Cells for `sequences` of `num_ctx` tokens each. `shared`: all together have one stream with `num_ctx` cells."""
    sequences = max(sequences, 1)
    if shared:
        return Cells(_rounded(math.ceil(num_ctx / sequences) * sequences), 1, sequences, rows)
    return Cells(_rounded(_rounded(num_ctx * sequences) // sequences), sequences, sequences, rows)


def _rounded(cells: int) -> int:
    return max(math.ceil(cells / _STEP), 1) * _STEP


def kv_bytes(blocks: Sequence[Block], cells: Cells, kv_type: str, flash_attention: bool | None) -> list[int]:
    """Keys and values of each block. Without flash attention the engine stores values across, as many numbers for each
    layer as the widest one has."""
    bits = _BITS.get(kv_type, 16.0)
    widest = max((block.values for block in blocks if block.keys), default=0)
    sizes: list[int] = []
    for block in blocks:
        values = widest if flash_attention is False and block.values else block.values
        count = cells.behind(block.window) * cells.streams * (block.keys + values)
        sizes.append(math.ceil(count * bits / 8))
    return sizes


def state_bytes(block: Block, cells: Cells) -> int:
    """States of one block."""
    return block.state * cells.sequences
