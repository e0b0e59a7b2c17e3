"""A stored model as the scheduler sees it."""

from functools import lru_cache
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from modelstore.ggufheader import ArrayRef, Header, Value
from modelstore.model import StoredModel
from scheduler.requests import ModelFacts, ModelRef
from server.details import details

_known: Final[WeakKeyDictionary[StoredModel, ModelRef]] = WeakKeyDictionary()
"""A stored model never changes: when its manifest does, another one takes its place."""


def known(model: StoredModel) -> ModelRef | None:
    """What `refer` has found before; the model's capabilities are known then too. Reads nothing."""
    return _known.get(model)


def refer(model: StoredModel) -> ModelRef:
    """Files, name and facts. Reads the header of the weights the first time: call it from a thread."""
    reference = _known.get(model) or _refer(model)
    if reference.facts.weights_bytes:  # else files are missing, and may come back
        _ = model.capabilities
        _known[model] = reference
    return reference


def _refer(model: StoredModel) -> ModelRef:
    weights = tuple(map(str, model.weights))
    return ModelRef(
        key=key_of(model),
        name=model.name.short,
        digest=model.digest,
        weights=weights,
        adapters=tuple(map(str, model.adapters)),
        projectors=tuple(map(str, model.projectors)),
        draft=(str(model.draft),) if model.draft is not None else (),
        families=tuple(model.config.model_families or ()),
        facts=facts(model),
        details=details(model, parent=False),
    )


def key_of(model: StoredModel) -> str:
    """Identity of the loaded model: tags with the same weights share one."""
    weights = model.weights
    return str(weights[0]) if weights else f"digest:{model.digest}"


def facts(model: StoredModel) -> ModelFacts:
    """What the header says about memory and limits; only file sizes where there is none."""
    size = sum(map(_size, model.weights))
    projector = sum(map(_size, model.projectors))
    header = model.header
    if header is None:
        return ModelFacts(weights_bytes=size, projector_bytes=projector)
    architecture = str(header.kv.get("general.architecture", ""))

    def number(key: str) -> int:
        return _whole(header.kv.get(f"{architecture}.{key}"))

    tokens = header.kv.get("tokenizer.ggml.tokens")
    heads, width = number("attention.head_count"), number("embedding_length")
    head_size = width // heads if heads else 0
    return ModelFacts(
        architecture=architecture,
        block_count=number("block_count"),
        context_length=number("context_length"),
        embedding_length=width,
        head_count=heads,
        head_count_kv=number("attention.head_count_kv") or heads,
        key_length=number("attention.key_length") or head_size,
        value_length=number("attention.value_length") or head_size,
        sliding_window=number("attention.sliding_window"),
        vocab_size=tokens.count if isinstance(tokens, ArrayRef) else 0,
        weights_bytes=size,
        projector_bytes=projector,
        draft_bytes=_size(model.draft) if model.draft is not None else 0,
        draft_elements=_cache_elements(model.draft_header),
        embedding=f"{architecture}.pooling_type" in header.kv,
    )


def _cache_elements(header: Header | None) -> int:
    """Numbers that a model's cache keeps for each token, windows not considered."""
    if header is None:
        return 0
    architecture = str(header.kv.get("general.architecture", ""))

    def number(key: str) -> int:
        return _whole(header.kv.get(f"{architecture}.{key}"))

    heads = number("attention.head_count")
    head_size = number("embedding_length") // heads if heads else 0
    key, value = number("attention.key_length") or head_size, number("attention.value_length") or head_size
    return number("block_count") * (number("attention.head_count_kv") or heads) * (key + value)


def _whole(value: Value | None) -> int:
    """A count; of an array, which has one for each layer, the largest. What is none counts as 0."""
    if isinstance(value, ArrayRef):
        return _largest(value)
    return max(value, 0) if isinstance(value, int) else 0


@lru_cache(maxsize=256)
def _largest(array: ArrayRef) -> int:
    """Read once: a blob never changes. Raises `InvalidGGUF`, `OSError`."""
    return max(map(_whole, array.read()), default=0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
