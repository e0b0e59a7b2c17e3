"""One model of the store: what its manifest, its small blobs and its weights say."""

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from modelstore import gguf
from modelstore.blobs import BlobStore
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, InvalidGGUF, InvalidManifest
from modelstore.manifest import (
    ADAPTER_TYPE,
    DRAFT_TYPE,
    EMBED_TYPE,
    LICENSE_TYPE,
    MAX_CONFIG,
    MESSAGES_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    PROJECTOR_TYPE,
    PROMPT_TYPE,
    SYSTEM_TYPE,
    TEMPLATE_TYPE,
    Layer,
    Manifest,
    ModelConfig,
    check_values,
)
from modelstore.names import Name

if TYPE_CHECKING:
    from modelstore.capabilities import Capabilities, Facts, TemplateMode

log = logging.getLogger(__name__)

MAX_TEXT: Final = 16 << 20
"""Bytes of the largest template, licence, list of messages … that is read."""
_EARLIEST: Final = 0
_LATEST: Final = 253_402_200_000
"""The year 9999, the last that a date can show in every zone; a file may claim to be from any other."""
_UNREADABLE: Final = (InvalidGGUF, BlobNotFound, OSError)


class HeaderCache:
    """Headers of the weights that were used last. A blob never changes, so its digest is key enough."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.header = lru_cache(maxsize=16)(self._header)
        """The whole header of a blob. Raises `BlobNotFound`, `InvalidGGUF`, `OSError`."""
        self.facts = lru_cache(maxsize=256)(self._facts)
        """The keys in front of the tokenizer's, without tensors. Raises the same."""

    def _header(self, digest: Digest) -> gguf.Header:
        return gguf.read_header(self._present(digest))

    def _facts(self, digest: Digest) -> gguf.Header:
        return gguf.read_facts(self._present(digest))

    def _present(self, digest: Digest) -> Path:
        if not self._blobs.has(digest):
            raise BlobNotFound(str(digest))
        return self._blobs.path(digest)


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A model as it was when its manifest was read."""

    name: Name
    digest: str
    """SHA-256 of the manifest file, 64 hex digits: the model's identity."""
    modified_ns: int
    """When the manifest was written, Unix time in nanoseconds."""
    manifest: Manifest
    config: ModelConfig
    template: str | None
    """The Go template; None without a template layer."""
    system: str
    params: Mapping[str, Any]
    messages: list[dict[str, Any]]
    _blobs: BlobStore = field(repr=False)
    _headers: HeaderCache = field(repr=False)
    _go_template: bool | None = field(default=None, repr=False)

    @classmethod
    def load(
        cls,
        name: Name,
        data: bytes,
        modified_ns: int,
        blobs: BlobStore,
        headers: HeaderCache,
        go_template: bool | None = None,
    ) -> "StoredModel":
        """Read everything but the weights and licences. Raises `InvalidManifest`, `InvalidDigest`, `BlobNotFound`."""
        manifest = Manifest.parse(data)
        texts = _Texts(manifest, blobs)
        if manifest.of_type(EMBED_TYPE):
            log.warning("%s contains embeddings, which are ignored: the layer is deprecated", name.short)
        return cls(
            name=name,
            digest=hashlib.sha256(data).hexdigest(),
            modified_ns=modified_ns,
            manifest=manifest,
            config=ModelConfig.parse(blobs.read(manifest.config.digest, MAX_CONFIG))
            if manifest.config
            else ModelConfig(),
            template=texts.last(TEMPLATE_TYPE, PROMPT_TYPE),
            system=texts.last(SYSTEM_TYPE) or "",
            params=texts.params(),
            messages=texts.messages(),
            _blobs=blobs,
            _headers=headers,
            _go_template=go_template,
        )

    @property
    def size(self) -> int:
        """Bytes of all layers and the config."""
        return self.manifest.size

    @property
    def modified_at(self) -> datetime:
        """`modified_ns` in the local zone, to the microsecond."""
        seconds, nanoseconds = divmod(self.modified_ns, 1_000_000_000)
        seconds = min(max(seconds, _EARLIEST), _LATEST)
        return datetime.fromtimestamp(seconds).astimezone().replace(microsecond=nanoseconds // 1000)

    @property
    def parent_model(self) -> str:
        """What the weights were inherited from; empty where they were not."""
        layers = self.manifest.of_type(MODEL_TYPE)
        return layers[-1].from_ if layers else ""

    # -- files --

    @property
    def weights(self) -> list[Path]:
        """The GGUF file, or all its shards in order; empty for a stub of a remote model.

        With several files their headers are read; then it raises like `header`.
        """
        return [self._blobs.path(digest) for digest in self._shards]

    @property
    def projectors(self) -> list[Path]:
        return self._paths(PROJECTOR_TYPE)

    @property
    def adapters(self) -> list[Path]:
        return self._paths(ADAPTER_TYPE)

    @property
    def draft(self) -> Path | None:
        paths = self._paths(DRAFT_TYPE)
        return paths[-1] if paths else None

    @property
    def licenses(self) -> list[str]:
        """The texts, read anew each time. Raises `BlobNotFound`."""
        return [_text(self._blobs, layer) for layer in self.manifest.of_type(LICENSE_TYPE)]

    # -- what the weights say --

    @property
    def header(self) -> gguf.Header | None:
        """Metadata and tensors, of all shards together; None without weights.

        Raises `InvalidGGUF`, `BlobNotFound`, `OSError`.
        """
        headers = [self._headers.header(digest) for digest in self._shards]
        if len(headers) < 2:
            return headers[0] if headers else None
        return replace(headers[0], tensors=tuple(chain.from_iterable(header.tensors for header in headers)))

    @property
    def facts(self) -> gguf.Header | None:
        """The metadata in front of the tokenizer, without tensors; None without weights, or if it cannot be read."""
        try:
            return self._headers.facts(self._shards[0]) if self._shards else None
        except _UNREADABLE:
            return None

    @property
    def projector_header(self) -> gguf.Header | None:
        """Metadata and tensors of the first projector. Raises like `header`."""
        layers = self.manifest.of_type(PROJECTOR_TYPE)
        return self._headers.header(layers[0].digest) if layers else None

    @property
    def draft_header(self) -> gguf.Header | None:
        """Metadata and tensors of the draft model. Raises like `header`."""
        layers = self.manifest.of_type(DRAFT_TYPE)
        return self._headers.header(layers[-1].digest) if layers else None

    @property
    def quantization(self) -> str:
        """As the config says, or as the weights say where it does not."""
        stated = self.config.file_type
        if stated not in ("", "unknown") or (facts := self.facts) is None:
            return stated
        return facts.file_type if facts.file_type != "unknown" else stated

    @property
    def context_length(self) -> int:
        """Tokens the model was trained on; 0 if unknown."""
        return self.config.context_length or self._fact("context_length")

    @property
    def embedding_length(self) -> int:
        """Width of the model; 0 if unknown."""
        return self.config.embedding_length or self._fact("embedding_length")

    # -- what it can do --

    @property
    def capabilities(self) -> list[str]:
        """Names in the order in which show prints them; without those of weights that cannot be read."""
        return list(self._described.names)

    @property
    def template_mode(self) -> "TemplateMode":
        """Which component turns messages into a prompt."""
        return self._described.mode

    @cached_property
    def listed_capabilities(self) -> list[str]:
        """Names as the list of all models has them."""
        from modelstore import capabilities

        projectors = [header for digest in self._projectors if (header := self._readable_facts(digest))]
        return list(capabilities.listed(self._capability_facts(self.facts, projectors), self._go_template))

    @property
    def _described(self) -> "Capabilities":
        from modelstore import capabilities

        try:
            return self._described_fully
        except _UNREADABLE:
            return capabilities.describe(self._capability_facts(None, []), self._go_template)

    @cached_property
    def _described_fully(self) -> "Capabilities":
        from modelstore import capabilities

        projectors = [self._headers.header(digest) for digest in self._projectors]
        return capabilities.describe(self._capability_facts(self.header, projectors), self._go_template)

    def _capability_facts(self, header: gguf.Header | None, projectors: list[gguf.Header]) -> "Facts":
        from modelstore import capabilities

        return capabilities.Facts(self.config, self.template, header, projectors)

    # -- layers --

    @cached_property
    def _shards(self) -> list[Digest]:
        """The last model layer, or all of them when they are the parts of one split file."""
        digests = [layer.digest for layer in self.manifest.of_type(MODEL_TYPE)]
        if len(digests) < 2:
            return digests
        numbered: dict[int, Digest] = {}
        for digest in digests:
            split = self._headers.header(digest).split
            if split is None or split.number is None or split.count != len(digests):
                return digests[-1:]
            numbered[split.number] = digest
        return [numbered[number] for number in sorted(numbered)] if len(numbered) == len(digests) else digests[-1:]

    @property
    def _projectors(self) -> list[Digest]:
        return [layer.digest for layer in self.manifest.of_type(PROJECTOR_TYPE)]

    def _paths(self, media_type: str) -> list[Path]:
        return [self._blobs.path(layer.digest) for layer in self.manifest.of_type(media_type)]

    def _fact(self, key: str) -> int:
        return facts.integer(key) if (facts := self.facts) else 0

    def _readable_facts(self, digest: Digest) -> gguf.Header | None:
        try:
            return self._headers.facts(digest)
        except _UNREADABLE:
            return None


class _Texts:
    """The small blobs of a manifest."""

    def __init__(self, manifest: Manifest, blobs: BlobStore) -> None:
        self._manifest = manifest
        self._blobs = blobs

    def last(self, *media_types: str) -> str | None:
        layers = self._manifest.of_type(*media_types)
        return _text(self._blobs, layers[-1]) if layers else None

    def params(self) -> dict[str, Any]:
        members = self._json(PARAMS_TYPE, dict, MAX_CONFIG)
        return cast("dict[str, Any]", members) if members is not None else {}

    def messages(self) -> list[dict[str, Any]]:
        items = cast("list[Any]", self._json(MESSAGES_TYPE, list, MAX_TEXT) or [])
        if not all(isinstance(item, dict) for item in items):
            raise InvalidManifest("messages are not all objects")
        return items

    def _json(self, media_type: str, kind: type, limit: int) -> object:
        """The decoded blob, None for an absent one or a null."""
        layers = self._manifest.of_type(media_type)
        data = self._blobs.read(layers[-1].digest, limit) if layers else b"null"
        check_values(data)
        try:
            text = data.decode("utf-8", "replace")
            value = json.loads(text, parse_int=_integer, parse_float=_double, parse_constant=_double)
        except (ValueError, RecursionError) as error:
            raise InvalidManifest(f"{media_type}: {error}") from error
        if value is not None and not isinstance(value, kind):
            raise InvalidManifest(f"{media_type} is no {kind.__name__}")
        return value


def _integer(text: str) -> int | float:
    """Numbers of more than 64 bits are doubles, as every number is to who wrote them."""
    return int(text) if len(text) < 19 else _double(text)


def _double(text: str) -> float:
    """Raises `ValueError` for what no double can hold."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no number")
    return value


def _text(blobs: BlobStore, layer: Layer) -> str:
    return blobs.read(layer.digest, MAX_TEXT).decode("utf-8", "replace")
