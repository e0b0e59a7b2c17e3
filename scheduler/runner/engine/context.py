"""KV memory, the batch, decode, and what comes out of it. Used by one thread only."""

import ctypes
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.faults import tells_of_memory
from scheduler.runner.cache.memory import MemoryKind, State
from scheduler.runner.engine.contextparams import POOLING_RANK, ContextParams, native_params
from scheduler.runner.engine.library import native
from scheduler.runner.engine.log import EngineLog
from scheduler.runner.engine.model import Model, ModelLoadError

_notes = logging.getLogger(__name__)

_EXACT: Final = ("f32", "f16", "bf16")
_ALWAYS: Final = "f16"


class Context:
    """One inference context, with a batch of arrays that are filled in place.

    `tokens`, `positions`, `sequences` and `outputs` (1: compute what this row predicts) are views of the batch that
    `decode(n)` sends: write their first n elements. Rows of a sequence must continue at its last position + 1, and
    sequences should stand in ascending order: the KV cache has a stream for each, and a batch out of order falls apart
    into one physical batch a sequence (4 times slower at 16 sequences).
    """

    def __init__(self, model: Model, params: ContextParams, log: EngineLog) -> None:
        """Its `kv_cache_type` is f16 where the engine refuses a quantised one, as for heads that are no multiple of its
        blocks.

        Raises `ModelLoadError` with the engine's words when memory or parameters do not allow the context.
        """
        lib = native()
        self._lib = lib
        self._model = model
        self._params = params
        self._log = log
        self._adopt(self._first())
        self.batch_size: int = lib.llama_n_batch(self.pointer)
        self.physical_batch: int = lib.llama_n_ubatch(self.pointer)
        self.pooling: int = lib.llama_pooling_type(self.pointer)
        self.can_shift: bool = bool(self._memory) and lib.llama_memory_can_shift(self._memory)
        self.window: int = lib.llama_model_n_swa(model.pointer)
        self.kind = MemoryKind.STATE if model.recurrent else MemoryKind.WINDOW if self.window else MemoryKind.WHOLE
        self.moves_in_place = self.can_shift and self.kind is not MemoryKind.STATE and _rotates(model, self._params)
        self._row_type: Any = ctypes.c_float * model.vocabulary.size
        self._logits_address = _returning_address(lib.llama_get_logits_ith)
        self._width = model.embedding_width
        ranks = self.pooling == POOLING_RANK
        self._pooled_width: int = lib.llama_model_n_cls_out(model.pointer) if ranks else self._width
        self._allocate_batch(max(self.batch_size, 1))

    def _first(self) -> Any:
        cells, kind = self._params.first_cells or self._params.cells, self.kv_cache_type
        try:
            return self._create(cells)
        except ModelLoadError as refusal:
            if kind in _EXACT or refusal.unsupported or tells_of_memory(str(refusal)):
                raise
            _notes.warning("the KV cache cannot be of type %s, using %s: %s", kind, _ALWAYS, refusal)
            self._log.errors.clear()
        self._params = replace(self._params, kv_cache_type=_ALWAYS)
        return self._create(cells)

    @property
    def kv_cache_type(self) -> str:
        return self._params.kv_cache_type

    def _create(self, cells: int) -> Any:
        pointer = self._lib.llama_init_from_model(self._model.pointer, native_params(self._lib, self._params, cells))
        if not pointer:
            raise ModelLoadError(self._log.reason() or "failed to create the context")
        self._attach_adapters(pointer)
        return pointer

    def _adopt(self, pointer: Any) -> None:
        self.pointer: Any = pointer
        self._memory: Any = self._lib.llama_get_memory(pointer)
        self.capacity: int = self._lib.llama_n_ctx_seq(pointer)
        """Tokens that one sequence has room for at present."""

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

    def _attach_adapters(self, pointer: Any) -> None:
        adapters = self._model.adapters
        if not adapters:
            return
        pointers = (self._lib.llama_adapter_lora_p_ctypes * len(adapters))(*(adapter for adapter, _ in adapters))
        scales = (ctypes.c_float * len(adapters))(*(scale for _, scale in adapters))
        if self._lib.llama_set_adapters_lora(pointer, pointers, len(adapters), scales) != 0:
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
        return np.frombuffer(self._row_type.from_address(self._logits_address(self.pointer, row)), np.float32)

    def logit(self, row: int, token: int) -> float:
        """One value of `logits`, without the view."""
        return self._lib.llama_get_logits_ith(self.pointer, row)[token]

    def embedding_of_row(self, row: int) -> NDArray[np.float32]:
        """The last hidden state of batch row `row`: a view, valid until the next decode."""
        pointer = self._lib.llama_get_embeddings_ith(self.pointer, row)
        return np.ctypeslib.as_array(pointer, shape=(self._width,))

    def embeddings(self, count: int) -> NDArray[np.float32]:
        """The last hidden states of all `count` output rows without pooling: a view, valid until the next decode."""
        pointer = self._lib.llama_get_embeddings(self.pointer)
        return np.ctypeslib.as_array(pointer, shape=(count, self._width))

    def embedding_of_sequence(self, sequence: int) -> NDArray[np.float32]:
        """The pooled vector of a sequence, or its scores where pooling ranks: a view, valid until the next decode."""
        pointer = self._lib.llama_get_embeddings_seq(self.pointer, sequence)
        return np.ctypeslib.as_array(pointer, shape=(self._pooled_width,))

    @contextmanager
    def embedding_mode(self) -> Generator[None]:
        """Within it, decodes give hidden states instead of logits."""
        self._lib.llama_set_embeddings(self.pointer, True)
        try:
            yield
        finally:
            self._lib.llama_set_embeddings(self.pointer, False)

    @property
    def stores(self) -> bool:
        """Whether it has a KV cache: models that only encode have none."""
        return bool(self._memory)

    def use_threads(self, count: int) -> None:
        """Compute with so many threads from now on."""
        self._lib.llama_set_n_threads(self.pointer, count, count)

    def warm_up(self) -> None:
        """Decode one token and forget it: allocation that the engine put off happens now, and fails now."""
        vocabulary = self._model.vocabulary
        self.tokens[0] = max(vocabulary.bos_id, vocabulary.eos_id, 0)
        self.positions[0] = self.sequences[0] = 0
        self.outputs[0] = 1
        if self.decode(1) != 0:
            raise ModelLoadError("the first decode failed")
        self.clear()

    def decode_embeddings(
        self,
        rows: NDArray[np.float32],
        positions: NDArray[np.int32],
        sequence: int,
        *,
        logits_last: bool,
        causal: bool = True,
    ) -> int:
        """Store rows of input that are no tokens under one sequence; the batch's own arrays stay as they are.

        `positions` is (rows,), or (4, rows) where a model has four for each row. Rows that all see each other
        (`causal=False`) must fit the physical batch; others are cut to size. Codes as of `decode`, but after a failure
        some may be stored. With `logits_last`, the last row's are `logits(-1)`.
        """
        count = len(rows)
        if causal:
            step = self.batch_size
        elif count <= self.physical_batch:
            step = count
        else:
            raise ValueError(f"{count} rows that see each other do not fit a batch of {self.physical_batch}")
        result = 0
        if not causal:
            self._lib.llama_set_causal_attn(self.pointer, False)
        try:
            for start in range(0, count, step):
                end = min(start + step, count)
                last = logits_last and end == count
                result = self._decode_rows(rows[start:end], positions[..., start:end], sequence, last=last)
                if result != 0:
                    break
        finally:
            if not causal:
                self._lib.llama_set_causal_attn(self.pointer, True)
        return result

    def _decode_rows(
        self, rows: NDArray[np.float32], positions: NDArray[np.int32], sequence: int, *, last: bool
    ) -> int:
        count = len(rows)
        rows, positions = np.ascontiguousarray(rows, np.float32), np.ascontiguousarray(positions, np.int32)
        sequences = np.array([sequence], np.int32)
        pointers = np.full(count, sequences.ctypes.data, np.uint64)
        counts, outputs = np.ones(count, np.int32), np.zeros(count, np.int8)
        outputs[-1] = last
        batch = self._lib.llama_batch(
            n_tokens=count,
            token=None,
            embd=rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            pos=positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            n_seq_id=counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=pointers.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        return self._lib.llama_decode(self.pointer, batch)

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

    def state_size(self, sequence: int, *, partial: bool = False) -> int:
        """Bytes of `save`."""
        return self._lib.llama_state_seq_get_size_ext(self.pointer, sequence, int(partial))

    def save(self, sequence: int, *, partial: bool = False) -> State | None:
        """A copy of what is stored for a sequence. `partial`: only what `remove` cannot bring back, the cells of a
        sliding window or a recurrent state."""
        size = self.state_size(sequence, partial=partial)
        state = np.empty(size, np.uint8)
        written = self._lib.llama_state_seq_get_data_ext(self.pointer, _bytes(state), size, sequence, int(partial))
        return state if size and written == size else None

    def restore(self, sequence: int, state: State, *, partial: bool = False) -> bool:
        """Put a copy into a sequence. False when it has no room for it."""
        return self._put(self.pointer, sequence, state, partial=partial)

    def _put(self, pointer: Any, sequence: int, state: State, *, partial: bool = False) -> bool:
        size = state.nbytes
        return self._lib.llama_state_seq_set_data_ext(pointer, _bytes(state), size, sequence, int(partial)) == size

    def close(self) -> None:
        """Give back its memory; it cannot be used afterwards."""
        self._lib.llama_free(self.pointer)

    # -- growing

    def larger(self, cells: int) -> Any:
        """A context with this many cells, for `move_to`. Another thread may make it while this one decodes.

        Raises `ModelLoadError`.
        """
        return self._create(cells)

    def move_to(self, larger: Any) -> bool:
        """Go on in a context that `larger` made, with everything that is stored. False when something cannot be moved:
        it goes on as it was."""
        for sequence in range(self._params.sequences):
            if self.first_position(sequence) < 0:
                continue
            state = self.save(sequence)
            if state is None or not self._put(larger, sequence, state):
                self._lib.llama_free(larger)
                return False
        self._lib.llama_free(self.pointer)
        self._adopt(larger)
        return True


def _rotates(model: Model, params: ContextParams) -> bool:
    """Whether the engine can turn stored keys to other positions. Where it cannot, 0.3.36 does not say so.

    Keys that were scaled as they were stored would be scaled again (YaRN, LongRoPE; DeepSeek's two scalings cancel
    out).
    Quantised keys end the process unless whole heads of a multiple of 64 are rotated.
    """
    architecture = model.metadata("general.architecture")

    def number(key: str) -> int:
        text = model.metadata(f"{architecture}.{key}")
        return int(text) if text.isdigit() else 0

    if model.metadata(f"{architecture}.rope.scaling.type") in ("yarn", "longrope") and architecture != "deepseek2":
        return False
    if params.kv_cache_type in ("f16", "bf16", "f32"):
        return True
    heads = number("attention.head_count")
    head = number("attention.key_length") or (number("embedding_length") // heads if heads else 0)
    return head > 0 and head % 64 == 0 and (number("rope.dimension_count") or head) == head


def _returning_address(function: Any) -> Any:
    """A function of context and row that answers with a number: making a pointer object takes longer than the rest."""
    prototype = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None, "the library exports it"
    return prototype(address)


def _bytes(state: State) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
