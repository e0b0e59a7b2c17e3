"""A model loaded as a `Load` frame asks: weights, context, adapters, and what the loop needs of them."""

import os
from collections.abc import Callable, Sequence
from typing import Final

from scheduler import frames
from scheduler.runner.constrain import Constraints, Matcher
from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelLoadError, ModelParams, SamplerChain
from scheduler.runner.engine.context import KV_TYPES
from scheduler.runner.sampling import build_chain

EMBEDDING_SEQUENCES: Final = 32
"""Texts that may share one decode of an embedding model."""
MAX_THREADS: Final = 512
"""ggml aborts above it."""


class LoadedModel:
    """Implements `batch.Engine` on llama.cpp."""

    def __init__(self, load: frames.Load, progress: Callable[[float], None]) -> None:
        """Raises `ModelLoadError`."""
        log = EngineLog()
        params = ModelParams(load.weights, load.num_gpu, load.main_gpu, load.use_mmap, load.use_mlock, load.adapters)
        self.model = Model(params, log, progress)
        self.vocabulary = self.model.vocabulary
        trained = self.model.num_ctx_train
        self.num_ctx = min(load.num_ctx, trained) if trained > 0 else load.num_ctx
        self.embedding = load.embedding
        self.slots = min(EMBEDDING_SEQUENCES, self.num_ctx) if load.embedding else load.parallel
        self.context = Context(self.model, self._context_params(load), log)
        if not load.embedding:
            self.context.warm_up()
        self.end_tokens = self.vocabulary.end_tokens
        self.piece: Callable[[int], bytes] = self.vocabulary.piece
        self.written_piece: Callable[[int], bytes] = self.vocabulary.written_piece
        self._constraints = Constraints(self.vocabulary)
        self._log = log

    def _context_params(self, load: frames.Load) -> ContextParams:
        if load.kv_cache_type not in KV_TYPES:
            raise ModelLoadError(f"unsupported KV cache type {load.kv_cache_type!r}: use one of {', '.join(KV_TYPES)}")
        cells = _round_up(self.num_ctx, self.slots) if load.embedding else self.num_ctx * load.parallel
        batch = max(load.num_batch, self.slots)
        return ContextParams(
            cells=cells,
            sequences=self.slots,
            batch=min(_round_up(batch, self.slots) if load.embedding else batch, cells),
            threads=min(load.num_thread, MAX_THREADS) if load.num_thread > 0 else usable_cores(),
            embedding=load.embedding,
            flash_attention=load.flash_attention,
            kv_cache_type=load.kv_cache_type,
        )

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
            buffers=self._log.buffers(),
            layers_offloaded=offloaded,
            layers_total=total,
        )

    def control_tokens(self, texts: Sequence[str]) -> frozenset[int]:
        """Ids of the texts that are one token each."""
        return self.vocabulary.control_tokens(texts)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a text, nothing added."""
        return self.vocabulary.tokenize(text)

    def chain(self, sampling: frames.Sampling, prompt: Sequence[int]) -> SamplerChain:
        """A sampler for one request."""
        return build_chain(sampling, vocab_size=self.vocabulary.size, num_ctx=self.num_ctx, prompt=prompt)

    def matcher(self, constraint: frames.Constraint) -> Matcher:
        """A matcher for one request. Raises `ConstraintError`."""
        return self._constraints.compile(constraint)


def _round_up(value: int, step: int) -> int:
    """The next multiple: the engine plans an embedding graph for equally many tokens of each sequence."""
    return -(-value // step) * step


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
