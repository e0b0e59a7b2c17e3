"""What decides the size of a context, and how it computes."""

from dataclasses import dataclass
from typing import Any, Final

KV_TYPES: Final = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30,
}  # fmt: skip
"""ggml's numbers of the types that a KV cache may have."""
POOLING_UNSPECIFIED: Final = -1
POOLING_NONE: Final = 0
POOLING_RANK: Final = 4
_FLASH: Final = {None: -1, False: 0, True: 1}


@dataclass(frozen=True, slots=True)
class ContextParams:
    """Sizes in tokens."""

    cells: int
    """KV cells of all sequences together."""
    sequences: int
    batch: int
    """Most tokens in one decode."""
    threads: int
    embedding: bool = False
    flash_attention: bool | None = None
    kv_cache_type: str = "f16"
    physical_batch: int = 0
    """Most of them that are computed together; 0: all."""
    first_cells: int = 0
    """KV cells to begin with, until `move_to`; 0: all of them."""


def native_params(lib: Any, params: ContextParams, cells: int) -> Any:
    """The library's own struct, for a context with so many cells."""
    native = lib.llama_context_default_params()
    native.n_ctx = cells
    native.swa_full = False
    native.n_seq_max = params.sequences
    native.n_batch = params.batch
    native.n_ubatch = params.physical_batch or params.batch
    native.n_threads = native.n_threads_batch = params.threads
    native.flash_attn_type = _FLASH[params.flash_attention]
    native.type_k = native.type_v = KV_TYPES[params.kv_cache_type]
    native.embeddings = params.embedding
    native.kv_unified = params.embedding
    native.pooling_type = POOLING_UNSPECIFIED if params.embedding else POOLING_NONE
    return native
