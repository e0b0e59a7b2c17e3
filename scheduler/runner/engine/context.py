"""KV memory, the batch, decode, and what comes out of it. Used by one thread only."""

import ctypes
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.engine.library import native
from scheduler.runner.engine.log import EngineLog
from scheduler.runner.engine.model import Model, ModelLoadError

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
    """Most tokens in one decode; also the physical batch."""
    threads: int
    embedding: bool = False
    flash_attention: bool | None = None
    kv_cache_type: str = "f16"


class Context:
    """One inference context, with a batch of arrays that are filled in place.

    `tokens`, `positions`, `sequences` and `outputs` (1: compute what this row predicts) are views of the batch that
    `decode(n)` sends: write their first n elements. Rows of a sequence must continue at its last position + 1, and
    sequences should stand in ascending order: the KV cache has a stream for each, and a batch out of order falls apart
    into one physical batch a sequence (4 times slower at 16 sequences).
    """

    def __init__(self, model: Model, params: ContextParams, log: EngineLog) -> None:
        """Raises `ModelLoadError` with the engine's words when memory or parameters do not allow the context."""
        lib = native()
        self._lib = lib
        self._model = model
        self.pointer: Any = lib.llama_init_from_model(model.pointer, _native_params(lib, params))
        if not self.pointer:
            raise ModelLoadError(log.reason() or "failed to create the context")
        self._attach_adapters(model)
        self._memory: Any = lib.llama_get_memory(self.pointer)
        self.batch_size: int = lib.llama_n_batch(self.pointer)
        self.physical_batch: int = lib.llama_n_ubatch(self.pointer)
        self.pooling: int = lib.llama_pooling_type(self.pointer)
        self.can_shift: bool = bool(self._memory) and lib.llama_memory_can_shift(self._memory)
        self._vocab_size = model.vocabulary.size
        self._width = model.embedding_width
        self._allocate_batch(max(self.batch_size, 1))

    def _allocate_batch(self, size: int) -> None:
        self.tokens: NDArray[np.int32] = np.zeros(size, np.int32)
        self.positions: NDArray[np.int32] = np.zeros(size, np.int32)
        self.sequences: NDArray[np.int32] = np.zeros(size, np.int32)
        self.outputs: NDArray[np.int8] = np.zeros(size, np.int8)
        self._counts = np.ones(size, np.int32)
        first = self.sequences.ctypes.data
        self._rows = (np.arange(size, dtype=np.uint64) * 4 + first).astype(np.uint64)
        lib = self._lib
        self._batch = lib.llama_batch(
            n_tokens=0,
            token=self.tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            embd=None,
            pos=self.positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            n_seq_id=self._counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=self._rows.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=self.outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def _attach_adapters(self, model: Model) -> None:
        if not model.adapters:
            return
        count = len(model.adapters)
        pointers = (self._lib.llama_adapter_lora_p_ctypes * count)(*(adapter for adapter, _ in model.adapters))
        scales = (ctypes.c_float * count)(*(scale for _, scale in model.adapters))
        if self._lib.llama_set_adapters_lora(self.pointer, pointers, count, scales) != 0:
            raise ModelLoadError("failed to apply the adapter", unsupported=True)

    # -- computing

    def decode(self, count: int) -> int:
        """Run the first `count` rows of the batch.

        0 is success, 1 no room in the KV cache (nothing was stored), 2 aborted, -1 an invalid batch, less a failed
        computation (some rows may be stored).
        """
        self._batch.n_tokens = count
        return self._lib.llama_decode(self.pointer, self._batch)

    def logits(self, row: int) -> NDArray[np.float32]:
        """What batch row `row` predicts: a view, valid until the next decode."""
        pointer = self._lib.llama_get_logits_ith(self.pointer, row)
        return np.ctypeslib.as_array(pointer, shape=(self._vocab_size,))

    def embedding_of_row(self, row: int) -> NDArray[np.float32]:
        """The last hidden state of batch row `row`: a view, valid until the next decode."""
        pointer = self._lib.llama_get_embeddings_ith(self.pointer, row)
        return np.ctypeslib.as_array(pointer, shape=(self._width,))

    def embedding_of_sequence(self, sequence: int) -> NDArray[np.float32]:
        """The pooled vector of a sequence: a view, valid until the next decode."""
        pointer = self._lib.llama_get_embeddings_seq(self.pointer, sequence)
        return np.ctypeslib.as_array(pointer, shape=(self._width,))

    @contextmanager
    def embedding_mode(self) -> Generator[None]:
        """Within it, decodes give hidden states instead of logits."""
        self._lib.llama_set_embeddings(self.pointer, True)
        try:
            yield
        finally:
            self._lib.llama_set_embeddings(self.pointer, False)

    def warm_up(self) -> None:
        """Decode one token and forget it: allocation that the engine put off happens now, and fails now."""
        vocabulary = self._model.vocabulary
        self.tokens[0] = max(vocabulary.bos_id, vocabulary.eos_id, 0)
        self.positions[0] = self.sequences[0] = 0
        self.outputs[0] = 1
        if self.decode(1) != 0:
            raise ModelLoadError("the first decode failed")
        self.clear()

    # -- memory

    def remove(self, sequence: int, start: int, end: int = -1) -> bool:
        """Forget positions [start, end) of a sequence (-1: to the end). False when this kind of memory cannot."""
        return not self._memory or self._lib.llama_memory_seq_rm(self._memory, sequence, start, end)

    def shift(self, sequence: int, start: int, end: int, delta: int) -> None:
        """Add `delta` to the positions [start, end) of a sequence. Only where `can_shift`."""
        self._lib.llama_memory_seq_add(self._memory, sequence, start, end, delta)

    def first_position(self, sequence: int) -> int:
        """The lowest position still stored of a sequence; -1 when it is empty."""
        return self._lib.llama_memory_seq_pos_min(self._memory, sequence) if self._memory else -1

    def clear(self) -> None:
        """Forget all sequences."""
        if self._memory:
            self._lib.llama_memory_clear(self._memory, False)


def _native_params(lib: Any, params: ContextParams) -> Any:
    native_params = lib.llama_context_default_params()
    native_params.n_ctx = params.cells
    native_params.n_seq_max = params.sequences
    native_params.n_batch = native_params.n_ubatch = params.batch
    native_params.n_threads = native_params.n_threads_batch = params.threads
    native_params.flash_attn_type = _FLASH[params.flash_attention]
    native_params.type_k = native_params.type_v = KV_TYPES[params.kv_cache_type]
    native_params.embeddings = params.embedding
    native_params.kv_unified = params.embedding
    native_params.pooling_type = POOLING_UNSPECIFIED if params.embedding else POOLING_NONE
    return native_params
