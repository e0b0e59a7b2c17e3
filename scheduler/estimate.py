"""How much memory a model will take, foretold from its header.

Sizes come per layer, because layers are what moves between GPU and host: `blocks` transformer blocks and, after them,
the output layer. Weights are taken to be spread evenly, which holds for all but the embedding matrix.
"""

import math
from dataclasses import dataclass
from typing import Final

from scheduler.launch import physical_batch
from scheduler.requests import ModelFacts

_KV_BITS: Final = {
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

_CELLS: Final = 256
"""The engine rounds the cells of a sequence up to a multiple of this."""

_GPT_OSS_WINDOW: Final = 4096


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes, by what can be placed where."""

    layers: tuple[int, ...]
    """Weights and KV cache of each block, then the weights of the output layer; empty when the header does not say."""
    weights: int
    kv: int
    graph: int
    """Buffers of one decode step; needed on every device that computes."""
    projector: int
    draft: int = 0
    """All that the draft model takes."""

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.graph + self.projector + self.draft


def estimate(
    facts: ModelFacts,
    *,
    num_ctx: int,
    parallel: int,
    num_batch: int,
    kv_type: str,
    flash_attention: bool | None,
    host: bool = False,
) -> Estimate:
    """Memory of the model with `parallel` sequences of `num_ctx` tokens each; `host`: the processor alone computes."""
    rows = physical_batch(num_batch, num_ctx, facts.head_count, flash_attention, host=host)
    blocks = facts.block_count
    per_block = [_kv_bytes(facts, i, num_ctx, parallel, rows, kv_type) for i in range(blocks)]
    share = facts.weights_bytes // (blocks + 1)
    layers = (*(share + kv for kv in per_block), facts.weights_bytes - share * blocks) if blocks else ()
    return Estimate(
        layers=layers,
        weights=facts.weights_bytes,
        kv=sum(per_block),
        graph=_graph_bytes(facts, num_ctx, rows, flash_attention),
        projector=facts.projector_bytes,
        draft=_draft_bytes(facts, num_ctx, parallel, num_batch, kv_type),
    )


def _kv_bytes(facts: ModelFacts, block: int, num_ctx: int, parallel: int, rows: int, kv_type: str) -> int:
    heads = facts.head_count_kv or facts.head_count or 1
    head = facts.embedding_length // facts.head_count if facts.head_count else 0
    elements = (facts.key_length or head) + (facts.value_length or head)
    cells = math.ceil(num_ctx / _CELLS) * _CELLS * parallel
    window = _window(facts, block)
    if window:
        cells = min(cells, parallel * window + rows)
    return math.ceil(cells * elements * heads * _KV_BITS.get(kv_type, 16.0) / 8)


def _draft_bytes(facts: ModelFacts, num_ctx: int, parallel: int, num_batch: int, kv_type: str) -> int:
    """Its file, a cache with as many cells, and logits of a batch: the vocabulary is the same."""
    if not facts.draft_bytes:
        return 0
    cells = math.ceil(num_ctx / _CELLS) * _CELLS * parallel
    cache = math.ceil(cells * facts.draft_elements * _KV_BITS.get(kv_type, 16.0) / 8)
    return facts.draft_bytes + cache + 4 * num_batch * facts.vocab_size


def _window(facts: ModelFacts, block: int) -> int:
    """Tokens that this block looks back on; 0: all."""
    if facts.architecture in ("gptoss", "gpt-oss"):
        return (facts.sliding_window or _GPT_OSS_WINDOW) if block % 2 == 0 else 0
    if facts.architecture == "gemma2":
        return facts.sliding_window if block % 2 == 0 else 0
    if facts.architecture.startswith("gemma3"):
        return facts.sliding_window if (block + 1) % 6 else 0
    return 0


def _graph_bytes(facts: ModelFacts, num_ctx: int, rows: int, flash_attention: bool | None) -> int:
    """Activations of `rows` tokens: the wider of attention and output. Without flash attention each head has its
    scores."""
    width = facts.embedding_length
    scores = num_ctx * (1 + facts.head_count) if flash_attention is False else num_ctx
    return max(4 * rows * (1 + 4 * width + scores), 4 * rows * (width + facts.vocab_size))
