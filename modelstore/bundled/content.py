"""The blobs of the bundled model, in the order of its manifest."""

import io
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import IO, Final

from modelstore import canonical
from modelstore.digest import Digest
from modelstore.manifest import (
    CONFIG_TYPE,
    LICENSE_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    Layer,
    Manifest,
    ModelConfig,
)

_HERE: Final = "modelstore.bundled"
WEIGHTS: Final = Digest("b704677be56fa2b50ea50d81107f5cfe552279f72e38436bdcdeef4e64793c28")
WEIGHTS_SIZE: Final = 2_288_064
"""Bytes of `tinychat.gguf`."""

PARAMETERS: Final = {"temperature": 0.3}
"""A model this small strays at the usual 0.8."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob of the bundle."""

    media_type: str
    digest: Digest
    size: int
    data: bytes | None
    """None: the weights, which are read from their file in pieces."""

    def open(self) -> IO[bytes]:
        """The content from its start."""
        if self.data is not None:
            return io.BytesIO(self.data)
        return (files(_HERE) / "tinychat.gguf").open("rb")

    @property
    def layer(self) -> Layer:
        return Layer(self.media_type, self.digest, self.size)


@cache
def blobs() -> tuple[Blob, ...]:
    """Layers, then the config."""
    config = ModelConfig(
        model_format="gguf", model_family="llama", model_families=["llama"], model_type="3.61M", file_type="Q4_0"
    )
    return (
        Blob(MODEL_TYPE, WEIGHTS, WEIGHTS_SIZE, None),
        _small(LICENSE_TYPE, (files(_HERE) / "LICENSE").read_bytes()),
        _small(PARAMS_TYPE, canonical.encode_map(PARAMETERS) + b"\n"),
        _small(CONFIG_TYPE, config.encode()),
    )


@cache
def manifest() -> Manifest:
    """What a registry would serve."""
    *layers, config = (blob.layer for blob in blobs())
    return Manifest(tuple(layers), config)


def _small(media_type: str, data: bytes) -> Blob:
    return Blob(media_type, Digest.of(data), len(data), data)
