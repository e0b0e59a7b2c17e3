"""A stored model as the scheduler sees it."""

from dataclasses import replace
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from modelstore.ggufheader import Header
from modelstore.model import StoredModel
from scheduler.estimate.anatomy import facts_of
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
    """What the headers say about memory and limits; only file sizes where there is none."""
    draft = model.draft
    return replace(
        _facts(model.header, sum(map(_size, model.weights))),
        projector_bytes=sum(map(_size, model.projectors)),
        drafter=_facts(model.draft_header, _size(draft)) if draft is not None else None,
    )


def _facts(header: Header | None, size: int) -> ModelFacts:
    known = facts_of(header) if header is not None else ModelFacts()
    return replace(known, weights_bytes=size)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
