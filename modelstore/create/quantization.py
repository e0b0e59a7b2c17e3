"""Weights of a model to be in another type: what may be asked of which source, and the layers that come of it."""

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from modelstore import files
from modelstore.create.base import Base
from modelstore.create.plan import Piece, stored
from modelstore.create.request import CreateRequest
from modelstore.create.sources import Part
from modelstore.digest import CHUNK, Digest
from modelstore.errors import CreateError
from modelstore.gguf import Header, read_header
from modelstore.manifest import DRAFT_TYPE, MODEL_TYPE
from modelstore.progress import Progress, Report
from modelstore.quantize import Tell
from modelstore.quantize.types import UNQUANTIZED, target_type
from modelstore.transaction import Transaction

Quantizer: TypeAlias = Callable[[Sequence[Header], str, Path, Tell], AbstractContextManager[Path]]
"""Brings weights into another type, see `modelstore.quantize.quantized`."""

NO_DIGEST: Final = "0" * 19
"""In the events of a file that has none yet."""
_TOLD: Final = 64
"""Chunks that are hashed between two events."""


def require(asked: str, source: str) -> None:
    """Raises `CreateError` unless a model, whose weights are of the type `source`, can be brought into that type."""
    target_type(asked)
    if source not in UNQUANTIZED:
        raise CreateError("quantization is only supported for F16, BF16 and F32 models", status=500)


def require_draft(asked: str, source: str) -> None:
    """The same for a draft model."""
    target_type(asked)
    if source not in UNQUANTIZED:
        raise CreateError(f"draft quantization requires an unquantized draft model, got {source}")


def check(request: CreateRequest, base: Base, drafts: Sequence[Part], transaction: Transaction) -> None:
    """Refuse what cannot be quantised, before anything is. Raises `CreateError`, `InvalidGGUF`."""
    if request.quantize:
        read = {piece for part in base.parts for piece in part.pieces}
        for piece in base.pieces:
            if piece.media_type == MODEL_TYPE and piece not in read:
                read_header(transaction.store.blobs.path(piece.layer.digest))  # fails, and says why
        for part in base.parts:
            if part.media_type == MODEL_TYPE:
                require(request.quantize, part.tensor_type)
    for part in drafts if request.draft_quantize else ():
        require_draft(request.draft_quantize, part.tensor_type)


class Quantization:
    """Brings the parts of one request into the types that it asks for."""

    def __init__(self, transaction: Transaction, report: Report, quantizer: Quantizer) -> None:
        self._transaction = transaction
        self._report = report
        self._quantizer = quantizer

    def base(self, base: Base, asked: str) -> Base:
        """The base with its weights in that type; projectors, adapters and the rest stay. Raises as `parts`."""
        parts = self.parts(base.parts, asked)
        return replace(base, pieces=_replaced(base.pieces, base.parts, parts), parts=parts)

    def parts(self, parts: Sequence[Part], asked: str) -> list[Part]:
        """The parts, those with weights in that type; nothing happens to weights that are of it, or if none is asked.

        Raises `QuantizeFailed`, `DiskFull`, `OSError`, and what the report raises.
        """
        if not asked:
            return list(parts)
        target = target_type(asked)
        return [self._converted(part, asked.upper(), target) if _has_to(part, target) else part for part in parts]

    def _converted(self, part: Part, asked: str, target: str) -> Part:
        store = self._transaction.store
        headers = [read_header(store.blobs.path(piece.layer.digest)) for piece in part.pieces]
        total = sum(header.size for header in headers)

        def tell(share: float) -> None:
            status = f"quantizing {part.tensor_type} model to {asked}"
            self._report(Progress(status, NO_DIGEST, total, min(int(total * share), total)))

        with self._quantizer(headers, target, store.layout.work, tell) as path:
            digest = _hashed(path, lambda: tell(1.0))
            sys.audit("llamad.quantize.hashed")
            _sync(path)
            sys.audit("llamad.quantize.synced")
            self._transaction.adopt(path, digest)
            sys.audit("llamad.quantize.placed")
        self._report(Progress("verifying conversion"))
        made = read_header(store.blobs.path(digest))
        return Part(part.media_type, made, (stored(part.media_type, digest, made.size),), made.parameter_count, target)


def _has_to(part: Part, target: str) -> bool:
    return part.media_type in (MODEL_TYPE, DRAFT_TYPE) and part.tensor_type != target


def _replaced(pieces: Sequence[Piece], before: Sequence[Part], after: Sequence[Part]) -> list[Piece]:
    """The pieces with those of the new parts in place of the first ones of the old."""
    changed: dict[Piece, tuple[Piece, ...]] = {}
    for old, new in zip(before, after, strict=True):
        if new is not old:
            changed |= dict.fromkeys(old.pieces, ())
            changed[old.pieces[0]] = new.pieces
    return [now for piece in pieces for now in changed.get(piece, (piece,))]


def _hashed(path: Path, tell: Callable[[], None]) -> Digest:
    state = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for number, chunk in enumerate(iter(lambda: file.read(CHUNK), b"")):
            state.update(chunk)
            if number % _TOLD == _TOLD - 1:
                tell()
    return Digest(state.hexdigest())


def _sync(path: Path) -> None:
    """Raises `DiskFull`, `OSError`: some file systems find room only now."""
    with files.counting_room(), path.open("rb") as file:
        os.fsync(file.fileno())
