"""A model loaded as a `Load` frame asks: weights, context, adapters, and what the loop needs of them."""

import os
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from scheduler import frames
from scheduler.runner.constrain.constraints import Constraints, Matcher
from scheduler.runner.embedding.lanes import lanes_for
from scheduler.runner.embedding.rank import has_head
from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelLoadError, ModelParams
from scheduler.runner.engine.contextparams import KV_TYPES, POOLING_RANK
from scheduler.runner.engine.projector import Projector, ProjectorParams
from scheduler.runner.media.reader import MediaReader
from scheduler.runner.sampling.chain import Chain, build_chain
from scheduler.runner.speculate import speculation_for

EMBEDDING_SEQUENCES: Final = 32
"""Texts that may share one decode of an embedding model."""
_ENOUGH_ROWS: Final = 64
"""Rows from which on the processor computes no more of them a second: a model of 0.5 B does 246 at 32 and at 64, 232 at
256 (two cores)."""
FIRST_CELLS: Final = 512
"""KV cells of a sequence to begin with, where the cache can grow."""
MAX_CELLS: Final = 2**31 - 1
"""Positions are signed 32-bit numbers."""
LEAST_PICTURE: Final[dict[str, int]] = dict.fromkeys(("qwen2vl", "qwen25vl", "qwen3vl", "qwen3vlmoe"), 1024)
"""Cells that a picture takes at least: these find nothing in small ones, and the reference enlarges them, too."""
MAX_THREADS: Final = 512
"""ggml aborts above it."""


class LoadedModel:
    """Implements `batch.Engine` on llama.cpp."""

    def __init__(self, load: frames.Load, progress: Callable[[float], None]) -> None:
        """Raises `ModelLoadError`."""
        self._log = log = EngineLog()
        params = ModelParams(
            load.weights,
            load.num_gpu,
            load.main_gpu,
            load.use_mmap,
            load.use_mlock,
            load.adapters,
            load.tensor_split,
        )
        self.model = Model(params, log, progress)
        self.vocabulary = self.model.vocabulary
        trained = self.model.num_ctx_train
        self.num_ctx = min(load.num_ctx, trained) if trained > 0 else load.num_ctx
        self.embedding = load.embedding
        self.slots = min(EMBEDDING_SEQUENCES, self.num_ctx) if load.embedding else load.parallel
        self._projectors = [] if load.embedding else [self._projector(load, path) for path in load.projectors]
        self._params = self._context_params(load)
        self.context = Context(self.model, self._params, log)
        self.lanes = lanes_for(self.model, self.context, self._params, log) if load.embedding else None
        self.scores = self.context.pooling == POOLING_RANK
        """Whether the file asks for scores in place of vectors."""
        self.ranks = self.scores and has_head(load.weights)
        self.media = self._media_reader()
        if not load.embedding and log.offloaded[0]:
            self.context.warm_up()  # a GPU's library allocates at its first use; the processor would only compute twice
        self.end_tokens = self.vocabulary.end_tokens
        self.piece: Callable[[int], bytes] = self.vocabulary.piece
        self.written_piece: Callable[[int], bytes] = self.vocabulary.written_piece
        self.archive_bytes = load.archive_bytes
        self.pass_rows = max(self.context.physical_batch, self.slots)
        self.spare_core = bool(log.offloaded[0]) or self._params.threads < usable_cores()
        self.enough_rows = self.pass_rows if log.offloaded[0] else min(_ENOUGH_ROWS, self.pass_rows)
        self.speculator = speculation_for(load, self.model, self.context, self._params, log, progress)
        self._constraints = Constraints(self.vocabulary)

    def _context_params(self, load: frames.Load) -> ContextParams:
        if load.kv_cache_type not in KV_TYPES:
            raise ModelLoadError(f"unsupported KV cache type {load.kv_cache_type!r}: use one of {', '.join(KV_TYPES)}")
        cells = _round_up(self.num_ctx, self.slots) if load.embedding else self.num_ctx * load.parallel
        if cells > MAX_CELLS:
            raise ModelLoadError(f"a context of {self.num_ctx} tokens for each of {self.slots} sequences is too large")
        whole = max((projector.largest_whole_chunk() for projector in self._projectors), default=0)
        batch = max(load.num_batch, self.slots, whole)
        return ContextParams(
            cells=cells,
            sequences=self.slots,
            batch=min(_round_up(batch, self.slots) if load.embedding else batch, cells),
            physical_batch=max(load.num_ubatch, whole) if load.num_ubatch and not load.embedding else 0,
            threads=_threads(load),
            embedding=load.embedding,
            flash_attention=load.flash_attention,
            kv_cache_type=load.kv_cache_type,
            first_cells=0 if load.embedding or self._log.offloaded[0] else self._first_cells(batch, cells),
        )

    def _first_cells(self, batch: int, cells: int) -> int:
        """KV cells to begin with on the processor, where making them takes longer than loading a small model."""
        first = max(FIRST_CELLS * self.slots, min(batch, cells))
        return first if first < cells else 0

    def _projector(self, load: frames.Load, path: str) -> Projector:
        cells = LEAST_PICTURE.get(self.model.metadata("general.architecture"), 0)
        on_gpu = load.projector_on_gpu and load.num_gpu != 0
        params = ProjectorParams(path, _threads(load), on_gpu, load.flash_attention or None, cells)
        return Projector(self.model, params)

    def _media_reader(self) -> MediaReader | None:
        if not self._projectors:
            return None
        batch = self.context.physical_batch
        return MediaReader(self._projectors, self.vocabulary, num_ctx=self.num_ctx, physical_batch=batch)

    @property
    def raw_embeddings(self) -> bool:
        """Whether the file's vectors were never normalised by the older endpoint."""
        architecture = self.model.metadata("general.architecture")
        normalize = self.model.metadata(f"{architecture}.normalize_embeddings")
        if architecture == "bert":
            return normalize == "false" or self.model.metadata("tokenizer.ggml.model") != "bert"
        return architecture.startswith("nomic-bert") and normalize != "true"

    def describe(self) -> frames.Loaded:
        """What the daemon wants to know of a model that is ready."""
        offloaded, total = self._log.offloaded
        return frames.Loaded(
            num_ctx=self.num_ctx,
            num_ctx_train=self.model.num_ctx_train,
            vocab_size=self.vocabulary.size,
            embedding_width=self.model.embedding_width,
            add_bos=self.vocabulary.add_bos,
            bos=self.vocabulary.bos,
            eos=self.vocabulary.eos,
            can_shift=self.context.can_shift,
            buffers=[
                *map(self._when_grown, self._log.buffers()),
                *(self.lanes.buffers if self.lanes is not None else ()),
                *(buffer for one in self._projectors for buffer in one.buffers()),
                *map(self._when_grown, self.speculator.buffers if self.speculator is not None else ()),
            ],
            layers_offloaded=offloaded,
            layers_total=total,
            vision=self.media is not None and self.media.vision,
            audio=self.media is not None and self.media.audio,
            ranks=self.ranks,
            fill_in=self.vocabulary.fill_in,
            kv_cache_type=self.context.kv_cache_type,
        )

    def _when_grown(self, buffer: frames.Buffer) -> frames.Buffer:
        """The KV cache counts as large as it may become: others must not be promised its memory."""
        if buffer.kind != "KV" or not self._params.first_cells:
            return buffer
        return msgspec.structs.replace(buffer, size=buffer.size * self._params.cells // self._params.first_cells)

    def control_tokens(self, texts: Sequence[str]) -> frozenset[int]:
        """Ids of the texts that are one token each."""
        return self.vocabulary.control_tokens(texts)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a text, nothing added."""
        return self.vocabulary.tokenize(text)

    def chain(self, sampling: frames.Sampling, prompt: Sequence[int]) -> Chain:
        """A sampler for one request. Raises `SamplingError`."""
        return build_chain(sampling, vocabulary=self.vocabulary, num_ctx=self.num_ctx, prompt=prompt)

    def matcher(self, constraint: frames.Constraint) -> Matcher | None:
        """A matcher for one request. Raises `ConstraintError`."""
        return self._constraints.bind(constraint)


def _round_up(value: int, step: int) -> int:
    """The next multiple: the engine plans an embedding graph for equally many tokens of each sequence."""
    return -(-value // step) * step


def _threads(load: frames.Load) -> int:
    return min(load.num_thread, MAX_THREADS) if load.num_thread > 0 else usable_cores()


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
