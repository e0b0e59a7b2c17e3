"""Manifests: which blobs make a model, and what its config says. Bytes are those of the reference.

A model's identity is the SHA-256 of its manifest file, so what is written here has to be canonical (`canonical.py`);
what comes from a registry is kept as it came.
"""

from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from modelstore import canonical
from modelstore.digest import Digest
from modelstore.errors import InvalidManifest

MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE: Final = "application/vnd.docker.container.image.v1+json"
MODEL_TYPE: Final = "application/vnd.ollama.image.model"
PROJECTOR_TYPE: Final = "application/vnd.ollama.image.projector"
ADAPTER_TYPE: Final = "application/vnd.ollama.image.adapter"
DRAFT_TYPE: Final = "application/vnd.ollama.image.draft"
TEMPLATE_TYPE: Final = "application/vnd.ollama.image.template"
PROMPT_TYPE: Final = "application/vnd.ollama.image.prompt"
"""An old word for the template."""
SYSTEM_TYPE: Final = "application/vnd.ollama.image.system"
PARAMS_TYPE: Final = "application/vnd.ollama.image.params"
MESSAGES_TYPE: Final = "application/vnd.ollama.image.messages"
LICENSE_TYPE: Final = "application/vnd.ollama.image.license"
EMBED_TYPE: Final = "application/vnd.ollama.image.embed"
"""No longer used by anything; ignored."""
TENSOR_TYPE: Final = "application/vnd.ollama.image.tensor"
"""One safetensors tensor; models made of these do not run here."""
JSON_TYPE: Final = "application/vnd.ollama.image.json"

MAX_BYTES: Final = 4 << 20
"""Size of the largest manifest that is read."""
MAX_LAYERS: Final = 10_000
MAX_VALUES: Final = 500_000
"""JSON values in a manifest, a config, parameters, messages: each takes many times its length once it is decoded."""
MAX_CONFIG: Final = 1 << 20
"""Bytes of the largest config, and of the largest parameters."""


_TOO_LARGE: Final = 1 << 62
"""Bytes that no disk holds."""
Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Layer(msgspec.Struct, frozen=True):
    """One blob and its role."""

    media_type: str
    digest: Digest
    size: int
    """Bytes."""
    from_: str = ""
    """Short name of the model it was inherited from, or the file name in the create request."""
    name: str = ""
    """Of a tensor or a config file; only in models made of tensors."""

    def to_json(self) -> dict[str, Any]:
        """The object in a manifest, in its order."""
        members = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        return members | {key: text for key, text in (("from", self.from_), ("name", self.name)) if text}


class Manifest(msgspec.Struct, frozen=True):
    """The blobs of one model, in order."""

    layers: tuple[Layer, ...]
    config: Layer | None = None

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Takes any order of keys, additional ones, no layers, no config. Raises `InvalidManifest`, `InvalidDigest`."""
        if len(data) > MAX_BYTES:
            raise InvalidManifest(f"{len(data)} bytes are more than {MAX_BYTES}")
        wire = _decode(data, _WireManifest)
        layers = wire.layers or ()
        if len(layers) > MAX_LAYERS:
            raise InvalidManifest(f"{len(layers)} layers are more than {MAX_LAYERS}")
        config = wire.config.layer() if wire.config is not None and wire.config.digest else None
        made = cls(tuple(layer.layer() for layer in layers), config)
        if made.size >= _TOO_LARGE:
            raise InvalidManifest("layers of impossible size")
        return made

    def encode(self) -> bytes:
        """The file, with the newline at its end."""
        config = self.config.to_json() if self.config else {"mediaType": "", "digest": "", "size": 0}
        return canonical.encode({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config,
            "layers": [layer.to_json() for layer in self.layers] or None,
        }) + b"\n"  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes of all layers and the config; one that is named twice counts twice."""
        return sum(layer.size for layer in self._all)

    @property
    def digests(self) -> frozenset[Digest]:
        """Of everything that the manifest keeps alive."""
        return frozenset(layer.digest for layer in self._all)

    def of_type(self, *media_types: str) -> list[Layer]:
        """Layers with one of these media types, in order."""
        return [layer for layer in self.layers if layer.media_type in media_types]

    @property
    def _all(self) -> tuple[Layer, ...]:
        return self.layers if self.config is None else (*self.layers, self.config)


class Draft(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a config says about the draft model for speculation."""

    model_format: str = ""
    architecture: str = ""
    tensor_prefix: str = ""
    config: Any = None


class ModelConfig(msgspec.Struct, frozen=True):
    """The config blob. Members stand in the order of the file."""

    model_format: str = ""
    model_family: str = ""
    model_families: list[str] | None = None
    model_type: str = ""
    """Number of parameters, for people."""
    file_type: str = ""
    """Name of the quantization."""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    remote_model: str = ""
    capabilities: list[str] = []
    context_length: Int64 = 0
    embedding_length: Int64 = 0
    base_name: str = ""
    draft: Draft | None = None
    architecture: str = "amd64"
    os: str = "linux"

    @classmethod
    def parse(cls, data: bytes) -> "ModelConfig":
        """Unknown members are ignored, null stands for absent. Raises `InvalidManifest`."""
        members = _decode(data, dict[str, Any])
        try:
            return msgspec.convert({key: value for key, value in members.items() if value is not None}, cls)
        except msgspec.ValidationError as error:
            raise InvalidManifest(f"config: {error}") from error

    def encode(self) -> bytes:
        """The blob, with the newline at its end."""
        members: dict[str, Any] = msgspec.to_builtins(self)
        return canonical.encode({k: v for k, v in members.items() if v or k in _ALWAYS}) + b"\n"


_ALWAYS: Final = {"model_format", "model_family", "model_families", "model_type", "file_type", "architecture", "os"}


class _WireLayer(msgspec.Struct):
    mediaType: str | None = None
    digest: str | None = None
    size: int | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    name: str | None = None

    def layer(self) -> Layer:
        size = self.size or 0
        if not 0 <= size < _TOO_LARGE:
            raise InvalidManifest("a layer of impossible size")
        digest = Digest.parse(self.digest or "")
        return Layer(self.mediaType or "", digest, size, self.from_ or "", self.name or "")


class _WireManifest(msgspec.Struct):
    config: _WireLayer | None = None
    layers: list[_WireLayer] | None = None


T = TypeVar("T")


def check_values(data: bytes) -> None:
    """Raises `InvalidManifest` for JSON of so many values that decoding it would take all memory."""
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise InvalidManifest(f"more than {MAX_VALUES} values")


def _decode(data: bytes, kind: type[T]) -> T:
    check_values(data)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidManifest(str(error)) from error
