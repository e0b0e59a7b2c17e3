"""How much memory a model will take, foretold from its header alone.

    weights   tensor by tensor, as the header lists them                              `anatomy`
    cache     keys and values of each layer by its kind; states of recurrent ones     `cache`
    graph     what one step computes with, by the widths of the layers                `graph`

Sizes come per layer, because layers are what moves between GPU and host: `blocks` transformer blocks and, after them,
the output layer. `python -m tools.memory` compares all of it with what the engine says.
"""

from dataclasses import dataclass, replace
from typing import Final

from scheduler.estimate.cache import Cells, cells_of, kv_bytes, state_bytes
from scheduler.estimate.graph import graph_bytes
from scheduler.launch import divides, physical_batch
from scheduler.requests import ModelFacts

EMBEDDING_SEQUENCES: Final = 32
"""Texts that an embedding model computes in one decode."""
LANE_ROWS: Final = 512
MOST_LANES: Final = 8
NARROW_ROWS: Final = 64
"""Of the contexts in which models that only encode compute texts side by side (scheduler/runner/embedding/lanes.py)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes, by what can be placed where."""

    layers: tuple[int, ...]
    """Weights and cache of each block, then the weights of the output layer; empty when the header does not say."""
    weights: int
    """All of them, once."""
    kv: int
    """The cache, states included."""
    graph: int
    """Buffers of one decode step; needed on every device that computes."""
    projector: int
    """On the first GPU, where there is one."""
    draft: int = 0
    """All that the draft model takes."""
    input: int = 0
    """Weights that stay in the host's memory, part of `weights`."""
    projector_on_host: int = 0
    """One that is not to be on a GPU."""

    @property
    def total(self) -> int:
        """On a host without GPUs."""
        return self.weights + self.kv + self.graph + self.projector + self.projector_on_host + self.draft

    def on_gpu(self, layers: int, gpus: int = 1) -> int:
        """Bytes on `gpus` GPUs together that compute the last so many layers."""
        if layers <= 0 or gpus <= 0:
            return 0
        if not self.layers:
            return self.total - self.projector_on_host + self.graph * (gpus - 1)
        return sum(self.layers[-layers:]) + self.graph * gpus + self.projector + self.draft

    def on_host(self, layers: int) -> int:
        """Bytes in the host's memory beside a GPU that computes the last so many layers."""
        if layers <= 0:
            return self.total
        if not self.layers:
            return self.projector_on_host
        others = self.layers[: len(self.layers) - layers]
        return self.input + self.projector_on_host + sum(others) + (self.graph if others else 0)


def estimate(
    facts: ModelFacts,
    *,
    num_ctx: int,
    parallel: int,
    num_batch: int,
    kv_type: str,
    flash_attention: bool | None,
    host: bool = False,
    threads: int = 1,
    projector_on_gpu: bool = True,
) -> Estimate:
    """Memory of the model with `parallel` sequences of `num_ctx` tokens each; `host`: the processor alone computes,
    with so many threads."""
    rows = physical_batch(num_batch, num_ctx, facts.head_count, flash_attention, host=host and not facts.embedding)
    cells = cells_of(num_ctx, sequences(facts, num_ctx, parallel), rows, shared=facts.embedding)
    caches = kv_bytes(facts.blocks, cells, kv_type, flash_attention)
    states = [state_bytes(block, cells) for block in facts.blocks]
    blocks = [block.weights + kv + state for block, kv, state in zip(facts.blocks, caches, states, strict=True)]
    draft = 0
    if facts.drafter is not None:
        draft = estimate(
            facts.drafter,
            num_ctx=num_ctx,
            parallel=parallel,
            num_batch=num_batch,
            kv_type=kv_type if divides(facts.drafter, kv_type) else "f16",
            flash_attention=flash_attention,
            host=host,
        ).total
    return Estimate(
        layers=(*blocks, facts.output_bytes + facts.shared_bytes) if blocks else (),
        weights=weights_of(facts),
        kv=sum(caches) + sum(states),
        graph=graph_bytes(facts, cells, flash_attention)
        + (_lanes(facts, cells, flash_attention, threads) if host else 0),
        projector=facts.projector_bytes if projector_on_gpu else 0,
        draft=draft,
        input=facts.input_bytes,
        projector_on_host=0 if projector_on_gpu else facts.projector_bytes,
    )


def sequences(facts: ModelFacts, num_ctx: int, parallel: int) -> int:
    """How many sequences the runner opens the context for."""
    return min(EMBEDDING_SEQUENCES, max(num_ctx, 1)) if facts.embedding else parallel


def _lanes(facts: ModelFacts, cells: Cells, flash_attention: bool | None, threads: int) -> int:
    """Contexts that an embedding model without a cache has beside its first one."""
    if not facts.embedding or any(block.keys for block in facts.blocks):
        return 0
    lanes = min(threads, MOST_LANES)
    wide = graph_bytes(facts, replace(cells, rows=min(LANE_ROWS, cells.rows)), flash_attention)
    narrow = graph_bytes(facts, Cells(NARROW_ROWS, 1, 1, NARROW_ROWS), False)
    return (lanes - 1) * wide + (lanes * narrow if flash_attention is None and cells.rows >= NARROW_ROWS else 0)


def weights_of(facts: ModelFacts) -> int:
    """Bytes of all tensors; of a file that lists none, its size."""
    return facts.input_bytes + facts.output_bytes + sum(block.weights for block in facts.blocks) or facts.weights_bytes
