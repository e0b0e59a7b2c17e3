"""Projectors of the first generation, which do not name their type."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelstore.blobs import BlobWriter
from modelstore.create.plan import Piece, stored
from modelstore.create.sources import Part
from modelstore.gguf import Header
from modelstore.ggufcursor import ARRAY, FIXED, STRING, U32, U64, Cursor, opened
from modelstore.manifest import PROJECTOR_TYPE
from modelstore.progress import Progress, Report
from modelstore.transaction import Transaction

TYPE_KEY: Final = "clip.projector_type"
_COUNTS: Final = struct.Struct("<4sIQQ")
"""Magic, version, number of tensors, number of keys."""
_COPIED: Final = 1 << 20


def lacks_type(header: Header) -> bool:
    """Whether a vision projector does not say how it projects; then it is of the type `mlp`."""
    named = any(key in header.kv for key in (TYPE_KEY, "clip.vision.projector_type"))
    return header.architecture == "clip" and header.kv.get("clip.has_vision_encoder") is True and not named


def typed(pieces: Sequence[Piece], parts: Sequence[Part], transaction: Transaction, report: Report) -> list[Piece]:
    """The pieces, with a completed copy in place of each projector that lacks its type."""
    changed: dict[Piece, Piece] = {}
    for part in parts:
        if part.media_type == PROJECTOR_TYPE and lacks_type(part.header):
            report(Progress("updating GGUF projector metadata"))
            with transaction.store.blobs.create(part.header.size) as writer:
                write_with_type(part.header.path, part.header, writer)
                digest = transaction.commit(writer)
            changed[part.pieces[0]] = stored(PROJECTOR_TYPE, digest, writer.size)
    return [changed.get(piece, piece) for piece in pieces]


def write_with_type(path: Path, header: Header, writer: BlobWriter) -> None:
    """Copy a projector, with the missing key behind the others. Raises `InvalidGGUF`, `OSError`, `DiskFull`."""
    with opened(path) as cursor:
        cursor.skip(_COUNTS.size)
        for _ in header.kv:
            _skip_key(cursor)
        keys_end = cursor.position
        for _ in header.tensors:
            cursor.string()
            cursor.skip(cursor.value(U32) * U64.size + U32.size + U64.size)
        tensors_end = cursor.position
    with path.open("rb") as source:
        magic, version, tensors, keys = _COUNTS.unpack(source.read(_COUNTS.size))
        head = _COUNTS.pack(magic, version, tensors, keys + 1)
        head += source.read(keys_end - source.tell()) + _string(TYPE_KEY) + U32.pack(STRING) + _string("mlp")
        head += source.read(tensors_end - keys_end)
        writer.write(head + bytes(-len(head) % header.alignment))
        source.seek(header.data_start)
        while chunk := source.read(_COPIED):
            writer.write(chunk)


def _skip_key(cursor: Cursor) -> None:
    cursor.string()
    kind = cursor.value(U32)
    if kind == STRING:
        cursor.string()
    elif kind == ARRAY:
        _skip_array(cursor)
    else:
        cursor.skip(FIXED[kind].size)


def _skip_array(cursor: Cursor) -> None:
    kind, count = cursor.value(U32), cursor.value(U64)
    if kind == STRING:
        cursor.skip_strings(count)
    else:
        cursor.skip(count * FIXED[kind].size)


def _string(text: str) -> bytes:
    data = text.encode()
    return U64.pack(len(data)) + data
