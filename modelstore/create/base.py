"""What a model is made of at the bottom: another model, uploaded files, or an address where it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from modelstore.create.config import inherited
from modelstore.create.detection import detected
from modelstore.create.plan import Piece
from modelstore.create.remote import CLOUD, remote_url
from modelstore.create.request import INVALID_NAME, CreateRequest
from modelstore.create.sources import Part, read_parts
from modelstore.errors import BlobNotFound, CreateError, InvalidGGUF, InvalidName, ModelNotFound, SourceConflict
from modelstore.gguf import Header, read_header
from modelstore.manifest import DRAFT_TYPE, MODEL_TYPE, Layer, ModelConfig
from modelstore.names import Name, Source, split_source
from modelstore.progress import Progress, Report

if TYPE_CHECKING:
    from modelstore.blobs import BlobStore
    from modelstore.model import StoredModel
    from modelstore.store import Store

Pull: TypeAlias = "Callable[[Store, Name, Report], object]"
"""Fetches a model into the store with its events, or raises."""


@dataclass(frozen=True, slots=True)
class Base:
    """Layers to build upon, and the config so far."""

    config: ModelConfig
    pieces: Sequence[Piece] = ()
    parts: Sequence[Part] = ()
    is_new: bool = False
    """The parts were uploaded, not taken from a model that is in use already."""
    drafts: Sequence[Part] = ()
    """Models that guess for it, inherited as they are."""

    @property
    def is_remote(self) -> bool:
        """It runs elsewhere: there is nothing here to build upon."""
        return bool(self.config.remote_host)

    @property
    def architecture(self) -> str | None:
        """Of the weights; None where there are none to be read."""
        return next((part.header.architecture for part in self.parts if part.media_type == MODEL_TYPE), None)


def check_base(request: CreateRequest) -> None:
    """Refuse what shows in the request itself. Raises CreateError."""
    if request.base:
        _, source = _parsed(request.base)
        if request.remote_host or source is Source.CLOUD:
            _remote(request, ModelConfig())


def find_base(store: "Store", request: CreateRequest, config: ModelConfig, report: Report, pull: Pull) -> Base:
    """What a request builds upon; a model that is not there is pulled. Raises CreateError, and what `pull` raises."""
    if not request.base:
        parts = read_parts(store.blobs, request.files or {}, report)
        own = [piece for part in parts for piece in part.pieces]
        return Base(config, [*own, *detected(parts)], parts, is_new=True)
    name, source = _parsed(request.base)
    if request.remote_host or source is Source.CLOUD:
        return _remote(request, config)
    return _inherit(store.blobs, _installed(store, name, report, pull), config)


def _parsed(raw: str) -> tuple[Name, Source]:
    try:
        base, source = split_source(raw)
        return Name.parse(base), source
    except (InvalidName, SourceConflict):
        raise CreateError(INVALID_NAME) from None


def _remote(request: CreateRequest, config: ModelConfig) -> Base:
    if request.draft_files:
        raise CreateError("DRAFT cannot be used with remote models")
    host, model = (remote_url(request.remote_host), request.base) if request.remote_host else (CLOUD, "")
    model = model or split_source(request.base)[0]
    return Base(msgspec.structs.replace(config, remote_host=host, remote_model=model))


def _installed(store: "Store", name: Name, report: Report, pull: Pull) -> "StoredModel":
    """The model in exactly this spelling; the end of a pull on the way is not the end of the operation."""
    try:
        return store.catalog.get(name)
    except ModelNotFound:
        pull(store, name, lambda event: report(event) if event != Progress("success") else None)
        return store.catalog.get(name)


def _inherit(blobs: "BlobStore", model: "StoredModel", config: ModelConfig) -> Base:
    layers = model.manifest.layers
    pieces = [Piece(msgspec.structs.replace(layer, from_=model.name.short)) for layer in layers]
    weights, drafts = _parts(blobs, pieces, MODEL_TYPE), _parts(blobs, pieces, DRAFT_TYPE)
    return Base(inherited(config, model.config), pieces, weights, drafts=drafts)


def _parts(blobs: "BlobStore", pieces: Sequence[Piece], media_type: str) -> list[Part]:
    """The weights among a base's layers; further shards count towards the first. Not checked again."""
    parts: list[Part] = []
    for piece in pieces:
        header = _header(blobs, piece.layer) if piece.media_type == media_type else None
        if header is None:
            continue
        own, count = (piece,), header.parameter_count
        if parts and header.split is not None and header.split.number:
            first = parts.pop()
            header, own, count = first.header, (*first.pieces, piece), first.parameters + count
        parts.append(Part(media_type, header, own, count))
    return parts


def _header(blobs: "BlobStore", layer: Layer) -> Header | None:
    if not blobs.has(layer.digest):
        raise BlobNotFound(str(layer.digest))
    try:
        return read_header(blobs.path(layer.digest))
    except InvalidGGUF:
        return None
