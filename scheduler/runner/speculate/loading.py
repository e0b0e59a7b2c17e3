"""From a `Load` frame to what guesses for its model."""

import logging
from collections.abc import Callable
from typing import Final

from scheduler import frames
from scheduler.runner.cache.memory import MemoryKind
from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelLoadError, ModelParams, Vocabulary
from scheduler.runner.speculate import draft, lookup
from scheduler.runner.speculate.draft import DraftModel
from scheduler.runner.speculate.speculation import Speculation

log = logging.getLogger(__name__)

_PADDING: Final = 128
"""Vocabularies are padded to different sizes by models of one family (Qwen 2.5: 151,936 and 152,064)."""
_MOST: Final = 64
"""Tokens of a guess, whatever is asked for."""
_COMPARED: Final = 4096
"""Tokens whose texts are compared."""


def speculation_for(
    load: frames.Load,
    model: Model,
    context: Context,
    params: ContextParams,
    log_of_model: EngineLog,
    progress: Callable[[float], None],
) -> Speculation | None:
    """What guesses for a model, whose `context` was made with `params`; None where nothing may.

    Raises `ModelLoadError` when the draft model is damaged or does not fit the model. Where there is no memory for it,
    the model goes without.
    """
    if load.draft_num_predict < 0 or load.embedding:
        return None
    if load.draft and context.kind is not MemoryKind.WHOLE:
        log.warning("the draft model is not used: this model's memory cannot be cut back by a few tokens")
        return None
    smaller: DraftModel | None = None
    buffers: list[frames.Buffer] = []
    if load.draft:
        try:
            smaller, buffers = _draft_model(load, model, params, progress)
        except ModelLoadError as error:
            if error.unsupported:
                raise ModelLoadError(f"draft model: {error}", unsupported=True) from error
            log.warning("the draft model is not used: %s", error)
        finally:
            log_of_model.listen()
    return Speculation(
        most=min(load.draft_num_predict or lookup.MOST, _MOST),
        draft_most=min(load.draft_num_predict or draft.MOST, _MOST),
        end_tokens=model.vocabulary.end_tokens,
        most_rows=params.batch,
        draft=smaller,
        buffers=buffers,
    )


def _draft_model(
    load: frames.Load, model: Model, params: ContextParams, progress: Callable[[float], None]
) -> tuple[DraftModel, list[frames.Buffer]]:
    engine_log = EngineLog()
    num_gpu = -1 if load.num_gpu else 0  # whole, where the model is only in part on a GPU: placing it counted on that
    weights = ModelParams(load.draft, num_gpu, load.main_gpu, load.use_mmap, load.use_mlock)
    smaller = Model(weights, engine_log, progress)
    try:
        if reason := mismatch(model.vocabulary, smaller.vocabulary):
            raise ModelLoadError(f"{_name(smaller)} does not go with {_name(model)}: {reason}", unsupported=True)
        context = _context(smaller, params, engine_log)
    except ModelLoadError:
        smaller.close()
        raise
    found = DraftModel(
        context,
        num_ctx=params.cells // params.sequences,
        sequences=params.sequences,
        vocab_size=min(model.vocabulary.size, smaller.vocabulary.size),
        end_tokens=model.vocabulary.end_tokens,
    )
    return found, engine_log.buffers()


def _context(smaller: Model, params: ContextParams, engine_log: EngineLog) -> Context:
    context = Context(smaller, params, engine_log)
    try:
        if context.kind is not MemoryKind.WHOLE:
            raise ModelLoadError("its own memory cannot be cut back by a few tokens")
        context.warm_up()
    except ModelLoadError:
        context.close()
        raise
    return context


def _name(model: Model) -> str:
    return repr(model.metadata("general.name") or model.metadata("general.architecture") or "a model")


def mismatch(model: Vocabulary, smaller: Vocabulary) -> str:
    """Why one model's tokens mean nothing to the other; empty when they are the same."""
    if abs(model.size - smaller.size) > _PADDING:
        return f"its vocabulary has {smaller.size} tokens instead of {model.size}"
    for what, own, other in (
        ("begin", model.bos_id, smaller.bos_id),
        ("end", model.eos_id, smaller.eos_id),
    ):
        if own != other:
            return f"its {what} token is {other} instead of {own}"
    if model.add_bos != smaller.add_bos:
        return f"its texts begin with{'' if smaller.add_bos else 'out'} a begin token"
    common = min(model.size, smaller.size)
    for token in range(0, common, max(common // _COMPARED, 1)):
        own, other = model.text_of(token), smaller.text_of(token)
        if own != other:
            return f"its token {token} is {other!r} instead of {own!r}"
    return ""
