"""Uploaded GGUF files: found, parsed, sorted by what they are, shards put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelstore.blobs import BlobStore
from modelstore.create.plan import Piece, stored
from modelstore.create.request import INVALID_DIGEST
from modelstore.create.shards import assemble
from modelstore.digest import Digest
from modelstore.errors import CreateError, InvalidDigest, InvalidGGUF
from modelstore.gguf import Header, has_magic, read_header
from modelstore.manifest import ADAPTER_TYPE, DRAFT_TYPE, MODEL_TYPE, PROJECTOR_TYPE
from modelstore.progress import Progress, Report
from modelstore.quoting import quote

NO_CONVERSION: Final = "converting safetensors is not available in this version"

_UNTOUCHED: Final = ("a.", "mm.", "mtp.", "s.", "v.")
"""Beginnings of tensor names that mark weights with more than a text model in them; those are not verified."""


@dataclass(frozen=True, slots=True)
class Part:
    """One component of a model: a file, or all shards of one in split order."""

    media_type: str
    header: Header
    """Of the first shard, the only one with a model's metadata."""
    pieces: tuple[Piece, ...]
    parameters: int
    """Of all shards."""
    quantized: str = ""
    """The type that it has been brought into by this request; empty if it is as it came."""

    @property
    def is_text_model(self) -> bool:
        """Weights of a language model and nothing else."""
        names = (tensor.name for tensor in self.header.tensors)
        return self.media_type == MODEL_TYPE and not any(name.startswith(_UNTOUCHED) for name in names)

    @property
    def tensor_type(self) -> str:
        """The quantization; where the file claims none, what its matrices agree on, or `unknown`."""
        claimed = self.header.file_type
        return claimed if claimed != "unknown" else self.header.matrix_type or claimed


def read_parts(blobs: BlobStore, files: Mapping[str, str], report: Report, draft: bool = False) -> list[Part]:
    """Parse the files of a request in the order of their names, one event each. Raises CreateError."""
    keys = sorted(files)
    if _kind(blobs, files) == "safetensors":
        raise CreateError(NO_CONVERSION, status=501)
    parsed: list[tuple[str, Digest, Header]] = []
    for key in keys:
        if not _is_companion(blobs, key, files[key]):
            report(Progress("parsing GGUF"))
            digest, header = _parse(blobs, key, files[key])
            parsed.append((key, digest, header))
    return [_part(blobs, shards, draft) for shards in assemble(parsed)]


def read_adapter(blobs: BlobStore, files: Mapping[str, str], architecture: str | None, report: Report) -> list[Part]:
    """Parse the one adapter of a request, which has to fit the base's architecture (None: not known)."""
    if _kind(blobs, files) == "safetensors":
        raise CreateError(NO_CONVERSION, status=501)
    if len(files) > 1:
        raise CreateError("only one adapter is currently supported")
    parts = read_parts(blobs, files, report)
    for part in parts:
        if part.media_type != ADAPTER_TYPE:
            raise CreateError(f"{quote(next(iter(files)))} is not an adapter")
        if architecture is not None and part.header.architecture != architecture:
            made_for, base = quote(part.header.architecture), quote(architecture)
            raise CreateError(f"the adapter is made for architecture {made_for}, the model has {base}")
    return parts


def classify(header: Header) -> str:
    """The media type of a GGUF file, by its metadata."""
    if header.kind == "adapter":
        return ADAPTER_TYPE
    if header.kind in ("projector", "mmproj"):
        return PROJECTOR_TYPE
    if not header.integer("block_count"):
        encodes = header.get("has_vision_encoder") is True or header.get("has_audio_encoder") is True
        if header.integer("vision.block_count") > 0 or (header.architecture == "clip" and encodes):
            return PROJECTOR_TYPE
    return MODEL_TYPE


def _part(blobs: BlobStore, shards: Sequence[tuple[str, Digest, Header]], draft: bool) -> Part:
    header = shards[0][2]
    media_type = DRAFT_TYPE if draft else classify(header)
    plain = Part(media_type, header, (), sum(shard.parameter_count for _, _, shard in shards))
    # Text models lose the name of their file: the reference writes such weights anew, which leaves them without one.
    keeps_name = not plain.is_text_model
    pieces = tuple(
        stored(media_type, digest, shard.size, key if keeps_name else "") for key, digest, shard in shards
    )  # fmt: skip
    return Part(media_type, header, pieces, plain.parameters)


def _kind(blobs: BlobStore, files: Mapping[str, str]) -> str:
    for key in sorted(files):
        if key.endswith(".safetensors"):
            return "safetensors"
        if key.endswith(".gguf") or _looks_like_gguf(blobs, files[key]):
            return "gguf"
    raise CreateError("unknown type")


def _is_companion(blobs: BlobStore, key: str, digest: str) -> bool:
    """A file that lies beside the weights in their folder, such as a README."""
    return not key.endswith(".gguf") and not _looks_like_gguf(blobs, digest)


def _looks_like_gguf(blobs: BlobStore, text: str) -> bool:
    try:
        digest = Digest.parse(text)
        return blobs.has(digest) and has_magic(blobs.path(digest))
    except (InvalidDigest, OSError):
        return False


def _parse(blobs: BlobStore, key: str, text: str) -> tuple[Digest, Header]:
    try:
        digest = Digest.parse(text)
    except InvalidDigest:
        raise CreateError(INVALID_DIGEST) from None
    if not blobs.has(digest):
        raise CreateError(f"blob {quote(str(digest))} not found")
    path = blobs.path(digest)
    if not has_magic(path):
        raise CreateError("supplied file was not in GGUF format")
    try:
        return digest, read_header(path)
    except InvalidGGUF as error:
        raise CreateError(f"{quote(key)} cannot be used: {error}") from error
