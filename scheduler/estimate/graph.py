"""What one step computes with: buffers of the size of its widest moment.

That is mostly the last one, when each row has a number for every token of the vocabulary; the engine plans with as many
outputs as rows. Without flash attention it is the scores of each head for every cell. The numbers of vectors that are
alive beside these were read off the engine's plans (`python -m tools.memory`).
"""

from typing import Final

from scheduler.estimate.cache import Cells
from scheduler.requests import ModelFacts

_FLOAT: Final = 4
_HALF: Final = 2
_MASK_TO_THE_END: Final = frozenset({"qwen3next", "qwen35", "qwen35moe"})
"""Architectures in whose plans the mask of the attention still has its place when the outputs come."""


def graph_bytes(facts: ModelFacts, cells: Cells, flash_attention: bool | None) -> int:
    """The graph's buffer, and that of the outputs that are handed out."""
    rows = -(-min(cells.rows, cells.stream * cells.streams) // cells.sequences) * cells.sequences
    width, plain = facts.embedding_length, flash_attention is False
    caches = [block for block in facts.blocks if block.keys]
    encodes = bool(facts.blocks) and not caches and not any(block.state for block in facts.blocks)
    seen = {rows} if encodes else {cells.behind(block.window) for block in caches}
    mask = rows * sum(seen) * (_FLOAT if plain else _HALF)
    last = 0 if encodes else _FLOAT * rows * (facts.vocab_size + 2 * width)
    if facts.architecture in _MASK_TO_THE_END:
        last += mask
    inner = max(facts.inner_length, facts.query_length)
    layer = _FLOAT * rows * (4 * width + inner if encodes else 5 * width + 2 * inner) + mask
    scores = 0
    if plain and seen:
        scores = _FLOAT * rows * (facts.head_count * max(seen) + 4 * width + 2 * facts.query_length) + mask
        compressed = max((block.keys for block in caches if not block.values), default=0)
        scores += _HALF * cells.stream * cells.streams * compressed  # values are turned before they are used
    outputs = _FLOAT * cells.sequences * (facts.vocab_size + (width if facts.embedding else 0))
    return max(last, layer, scores) + outputs
