"""How large a model may be made. What is larger could be written, but not be read again."""

from typing import Final

from modelstore.create.plan import Plan
from modelstore.errors import CreateError
from modelstore.manifest import (
    LICENSE_TYPE,
    MAX_BYTES,
    MAX_LAYERS,
    MESSAGES_TYPE,
    PARAMS_TYPE,
    SYSTEM_TYPE,
    TEMPLATE_TYPE,
    Manifest,
    ModelConfig,
)
from modelstore.model import MAX_TEXT

_FIELDS: Final = {
    TEMPLATE_TYPE: "template",
    SYSTEM_TYPE: "system",
    LICENSE_TYPE: "license",
    PARAMS_TYPE: "parameters",
    MESSAGES_TYPE: "messages",
}
"""What a request calls the layers that are written from it."""


def check_size(plan: Plan, config: ModelConfig) -> None:
    """Raises CreateError, before anything is written, for a model that could not be read again."""
    if len(plan.pieces) > MAX_LAYERS:
        raise CreateError(f"the model would have {len(plan.pieces)} layers, more than {MAX_LAYERS}")
    for piece in plan.pieces:
        if piece.data is not None:
            _check(_FIELDS.get(piece.media_type, piece.media_type), len(piece.data), MAX_TEXT)
    _check("config", len(config.encode()), MAX_TEXT)
    _check("manifest", len(Manifest(tuple(piece.layer for piece in plan.pieces)).encode()), MAX_BYTES)


def _check(what: str, size: int, maximum: int) -> None:
    if size > maximum:
        raise CreateError(f"{what} of {size} bytes exceeds maximum {maximum}")
