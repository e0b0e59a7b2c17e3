"""The `details` object, which several answers have in common."""

from typing import Any

from modelstore.model import StoredModel


def details(model: StoredModel, *, parent: bool = True, lengths: bool = False) -> dict[str, Any]:
    """What a model is, in a few words. `lengths` adds what only `/api/tags` shows; without `parent` it stays blank."""
    config = model.config
    shown: dict[str, Any] = {
        "parent_model": model.parent_model if parent else "",
        "format": config.model_format,
        "family": config.model_family,
        "families": config.model_families,
        "parameter_size": config.model_type,
        "quantization_level": model.quantization,
    }
    if lengths and model.context_length:
        shown["context_length"] = model.context_length
    if lengths and model.embedding_length:
        shown["embedding_length"] = model.embedding_length
    return shown
