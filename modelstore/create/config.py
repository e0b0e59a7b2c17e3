"""The config blob of a model to be: what its weights say, what the request overrides, what the base leaves behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from modelstore.create.request import CreateRequest
from modelstore.create.sources import Part
from modelstore.errors import CreateError
from modelstore.manifest import DRAFT_TYPE, MODEL_TYPE, Draft, ModelConfig
from modelstore.numbers import parameter_size
from modelstore.quoting import quote

_TEXTS: Final = {
    "model_family": "model_family",
    "base_name": "base_name",
    "quantization_level": "file_type",
    "parameter_size": "model_type",
}
"""Members of `info` that hold a text, and the member of the config that each one sets."""
_COUNTS: Final = ("context_length", "embedding_length")


@dataclass(frozen=True, slots=True)
class Family:
    """What a model of an architecture gets when the request names no renderer and parser."""

    renderer: str
    parser: str
    stop: tuple[str, ...] = ()


FAMILIES: Final[Mapping[str, Family]] = {
    "gemma4": Family("gemma4", "gemma4", ("<turn|>",)),
    "laguna": Family("laguna", "laguna"),
    **dict.fromkeys(
        ("nemotron_h", "nemotron_h_moe", "nemotron_h_omni"), Family("nemotron-3-nano", "nemotron-3-nano")
    ),
}  # fmt: skip


def requested(request: CreateRequest) -> ModelConfig:
    """What the request itself fixes. Raises CreateError for a member of `info` of the wrong type."""
    members: dict[str, Any] = {
        "renderer": request.renderer,
        "parser": request.parser,
        "requires": request.requires,
        "capabilities": _capabilities(request.info.get("capabilities")),
    }
    for key, member in _TEXTS.items():
        members[member] = _text(key, request.info.get(key))
    for key in _COUNTS:
        members[key] = _count(key, request.info.get(key))
    if members["model_family"]:
        members["model_families"] = [members["model_family"]]
    return ModelConfig(**members)


def inherited(config: ModelConfig, base: ModelConfig) -> ModelConfig:
    """What a model keeps of its base's config where the request is silent; the rest is computed anew."""
    return msgspec.structs.replace(
        config,
        renderer=config.renderer or base.renderer,
        parser=config.parser or base.parser,
        requires=config.requires or base.requires,
        model_format=config.model_format or base.model_format,
        capabilities=config.capabilities or base.capabilities,
    )


def computed(config: ModelConfig, parts: Sequence[Part]) -> ModelConfig:
    """The config with what the files say; what is set already stays."""
    for part in parts:
        if part.media_type == MODEL_TYPE:
            config = _with_weights(config, part)
        elif part.media_type == DRAFT_TYPE:
            config = msgspec.structs.replace(config, draft=Draft("gguf", part.header.architecture))
    return config


def defaults(config: ModelConfig, parts: Sequence[Part]) -> dict[str, Any]:
    """Parameters that a model gets along with its family's renderer and parser, where neither lacks one yet."""
    if config.renderer and config.parser:
        return {}
    architectures = (part.header.architecture for part in parts if part.media_type == MODEL_TYPE)
    family = next((FAMILIES[name] for name in architectures if name in FAMILIES), None)
    return {"stop": list(family.stop)} if family and family.stop else {}


def _with_weights(config: ModelConfig, part: Part) -> ModelConfig:
    architecture = part.header.architecture
    family = FAMILIES.get(architecture)
    return msgspec.structs.replace(
        config,
        model_format=config.model_format or "gguf",
        model_family=config.model_family or architecture,
        model_families=[*(config.model_families or ()), architecture],
        model_type=config.model_type or parameter_size(part.parameters),
        file_type=config.file_type or part.quantized or part.header.file_type,
        renderer=config.renderer or (family.renderer if family else ""),
        parser=config.parser or (family.parser if family else ""),
    )


def _text(key: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CreateError(f"info field {quote(key)} must be a string")
    return value


def _count(key: str, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CreateError(f"info field {quote(key)} must be a number")
    if value < 0 or value % 1:  # the rest of a division is nan, hence true, for what is not finite
        raise CreateError(f"info field {quote(key)} must be a non-negative integer")
    return int(value)


def _capabilities(value: Any) -> list[str]:
    if value is None:
        return []
    names = cast("list[Any]", value) if isinstance(value, list) else [None]
    if not all(isinstance(name, str) for name in names):
        raise CreateError('info field "capabilities" must be a list of strings')
    return cast("list[str]", names)
