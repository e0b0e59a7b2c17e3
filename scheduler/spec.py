"""What a request means for the model it needs: every option of loading, resolved.

options of the request → limits of the operator → what the model was trained for
"""

from dataclasses import dataclass
from typing import Final

import structlog

from scheduler.devices import Device
from scheduler.errors import LoadFailed
from scheduler.requests import LeaseRequest, Limits, ModelRef

_log = structlog.get_logger(__name__)

GIB: Final = 1 << 30
_TIERS: Final = ((47 * GIB, 262144), (23 * GIB, 32768))
"""Memory of all GPUs together, and the context given to those who ask for none."""
_SMALLEST_TIER: Final = 4096

_MAX_BLOCKS: Final = 512
"""The engine aborts above it."""
_MIN_CONTEXT: Final = 4
_MIN_VISION_CONTEXT: Final = 2048
_EMBEDDING_BATCH: Final = 2048
_DRAFT_GUESSES: Final = 4
_MOST_GUESSES: Final = 64
_BATCH: Final = 512
"""What an open num_batch counts as beside one that was asked for."""

_ALONE: Final = frozenset(
    {
        "mllama",
        "qwen3vl",
        "qwen3vlmoe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "nemotron_h_omni",
    }
)
"""Families whose state cannot serve several sequences side by side."""

WIDTHS: Final = (4, 2, 1)
"""What is tried, in this order, when the operator has not fixed the number of parallel requests."""


@dataclass(frozen=True, slots=True)
class Spec:
    """How a model is to be loaded, as far as the request and the settings decide it. Equal specs share a runner."""

    adapters: tuple[str, ...]
    projectors: tuple[str, ...]
    draft: tuple[str, ...]
    shift: bool
    num_ctx: int
    """Tokens of one sequence; never more than the model was trained on."""
    num_ctx_auto: bool
    num_batch: int | None
    """None: chosen with the placement."""
    num_gpu: int
    main_gpu: int | None
    use_mmap: bool | None
    num_thread: int
    draft_num_predict: int
    """As `frames.Load` has it."""
    widths: tuple[int, ...]
    """Numbers of parallel sequences to try, best first."""
    use_mlock: bool | None = None


def default_context(gpus: tuple[Device, ...], overhead: int) -> int:
    """The context of a request that names none, by the memory of the GPUs less what is set aside on each."""
    total = sum(max(gpu.total - overhead, 0) for gpu in gpus)
    return next((context for least, context in _TIERS if total >= least), _SMALLEST_TIER)


def resolve(request: LeaseRequest, limits: Limits, tier: int) -> Spec:
    """Fill in what the request leaves open; `tier` is `default_context` of this machine.

    Raises `LoadFailed` for a header that no engine takes, before memory is planned by it.
    """
    if request.model.facts.block_count > _MAX_BLOCKS:
        claimed = f"the file claims {request.model.facts.block_count} layers"
        raise LoadFailed(f"{claimed}, the engine takes {_MAX_BLOCKS} at most", unsupported=True)
    options, model = request.options, request.model
    num_ctx = _context(request, limits, tier)
    num_batch = options.num_batch
    if num_batch is None and model.facts.embedding:
        num_batch = min(_EMBEDDING_BATCH, num_ctx)
    return Spec(
        adapters=model.adapters,
        projectors=model.projectors,
        draft=model.draft,
        shift=_shift(request),
        num_ctx=num_ctx,
        num_ctx_auto=options.num_ctx is None and limits.context_length <= 0,
        num_batch=num_batch or None,
        num_gpu=options.num_gpu,
        main_gpu=options.main_gpu,
        use_mmap=options.use_mmap,
        num_thread=options.num_thread,
        draft_num_predict=_guesses(options.draft_num_predict),
        widths=_widths(model, limits),
        use_mlock=options.use_mlock,
    )


def _guesses(asked: int | None) -> int:
    """Tokens guessed ahead. To ask for none is to switch guessing off."""
    if asked is None:
        return 0
    return min(asked, _MOST_GUESSES) if asked > 0 else -1


def _context(request: LeaseRequest, limits: Limits, tier: int) -> int:
    model = request.model
    asked = request.options.num_ctx
    if asked is None:
        asked = limits.context_length if limits.context_length > 0 else tier
    asked = max(asked, _MIN_VISION_CONTEXT if model.projectors else _MIN_CONTEXT)
    trained = model.facts.context_length
    if 0 < trained < asked:
        if request.options.num_ctx is not None:
            _log.warning("requested context size too large for model", num_ctx=asked, n_ctx_train=trained)
        return trained
    return asked


def families(model: ModelRef) -> frozenset[str]:
    """Every name the model's kind goes by."""
    return frozenset((*model.families, model.facts.architecture))


def _shift(request: LeaseRequest) -> bool:
    if not request.model.weights:
        return False
    if request.shift is not None:
        return request.shift
    return "deepseek2" not in families(request.model)


def _widths(model: ModelRef, limits: Limits) -> tuple[int, ...]:
    if model.facts.embedding:
        return (1,)
    if families(model) & _ALONE:
        if limits.num_parallel > 1:
            _log.warning("model architecture does not currently support parallel requests", model=model.name)
        return (1,)
    return (limits.num_parallel,) if limits.num_parallel > 0 else WIDTHS


@dataclass(frozen=True, slots=True)
class Running:
    """What a loaded model was loaded with: its spec, and what became of the parts that were left open."""

    spec: Spec
    num_ctx: int
    num_batch: int
    use_mmap: bool | None
    trained: int
    """Context the model was trained on, by the engine; 0 when unknown."""


_PLAIN: Final = ("shift", "adapters", "projectors", "draft", "main_gpu", "num_thread")


def difference(wanted: Spec, running: Running) -> str | None:
    """The first option for whose sake the model must be loaded anew; None when the runner will do.

    Options that both sides left open are equal, whatever they came to; a request that leaves the layers on the GPU
    open takes any number of them.
    """
    had = running.spec
    for name in _PLAIN:
        if getattr(wanted, name) != getattr(had, name):
            return name
    if _depth(wanted) != _depth(had):
        return "draft_num_predict"
    num_ctx = min(wanted.num_ctx, running.trained) if running.trained > 0 else wanted.num_ctx
    if num_ctx != running.num_ctx and not (wanted.num_ctx_auto and had.num_ctx_auto):
        return "num_ctx"
    if wanted.num_batch != had.num_batch and (wanted.num_batch or _BATCH) != (had.num_batch or running.num_batch):
        return "num_batch"
    if 0 <= wanted.num_gpu != had.num_gpu:
        return "num_gpu"
    mapped = running.use_mmap is not False  # the engine maps unless told not to
    if wanted.use_mmap not in (None, mapped) or (wanted.use_mmap is None and had.use_mmap is not None):
        return "use_mmap"
    if wanted.use_mlock is not None and wanted.use_mlock != bool(had.use_mlock):
        return "use_mlock"
    return None


def _depth(spec: Spec) -> int:
    """Tokens guessed ahead; a draft model guesses as many as here when nobody has said."""
    return spec.draft_num_predict or (_DRAFT_GUESSES if spec.draft else 0)
