"""GGUF files: metadata and tensor list, read without trusting anything and without loading what nobody asked for.

    magic "GGUF" · version u32 · tensor count u64 · key count u64
    keys     { name, type u32, value } …
    tensors  { name, dimension count u32, u64 …, type u32, offset u64 } …
    padding to `general.alignment`, then the data; offsets count from there

All numbers are little-endian, a string is a u64 length and UTF-8 bytes. Read are versions 2 and 3, as by llama.cpp.
The format is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from modelstore.errors import InvalidGGUF
from modelstore.ggml import EARLY_MXFP4, TENSOR_TYPES, TensorType
from modelstore.ggufcursor import ARRAY, FIXED, FLOAT32, MAX_ARRAY, STRING, U32, U64, UINT32, Cursor, opened
from modelstore.ggufheader import ArrayRef, Header, Split, Tensor, Value
from modelstore.numbers import float32
from modelstore.quoting import quote

__all__ = ["ArrayRef", "Header", "Split", "Tensor", "Value", "has_magic", "read_arrays", "read_facts", "read_header"]

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
DEFAULT_ALIGNMENT: Final = 32
MAX_KEYS: Final = 1 << 16
MAX_TENSORS: Final = 1 << 16
MAX_TEXT: Final = 32 << 20
"""Bytes of all strings that are kept: names, and values that are no arrays."""
MAX_DIMENSIONS: Final = 4
MAX_TENSOR_NAME: Final = 63
_SMALLEST_KEY: Final = 13
_SMALLEST_TENSOR: Final = 24
_INT64: Final = (1 << 63) - 1


def read_header(path: Path) -> Header:
    """Read and check a whole header. Raises `InvalidGGUF`, `OSError`."""
    with opened(path) as cursor:
        reader = _Reader(path, cursor)
        reader.keys()
        return reader.header()


def read_facts(path: Path) -> Header:
    """Like `read_header`, but stops at the first tokenizer key behind the architecture: cheap, and without tensors."""
    with opened(path) as cursor:
        reader = _Reader(path, cursor)
        reader.keys(until_tokenizer=True)
        return reader.header(tensors=False)


def read_arrays(path: Path) -> dict[str, list[Any]]:
    """All arrays of a file's metadata. Raises `InvalidGGUF`, `OSError`."""
    return read_header(path).arrays()


def has_magic(path: Path) -> bool:
    """Whether a file begins like a GGUF file. Raises `OSError`; what is no regular file has no magic."""
    try:
        with opened(path) as cursor:
            return cursor.take(len(MAGIC)) == MAGIC
    except InvalidGGUF:
        return False


class _Reader:
    """One pass over a header."""

    def __init__(self, path: Path, cursor: Cursor) -> None:
        self._path = path
        self._cursor = cursor
        self._kv: dict[str, Value] = {}
        self._types: dict[str, int] = {}
        self._text = 0
        self._version = _version(cursor)
        self._tensor_count = _count(cursor, "tensor", _SMALLEST_TENSOR, MAX_TENSORS)
        self._key_count = _count(cursor, "key", _SMALLEST_KEY, MAX_KEYS)

    def header(self, tensors: bool = True) -> Header:
        """Read the rest."""
        cursor, alignment = self._cursor, self._alignment()
        found = [self._tensor(alignment) for _ in range(self._tensor_count)] if tensors else []
        data_start = -(-cursor.position // alignment) * alignment
        self._check(found, data_start)
        kv, types = self._kv, self._types
        return Header(self._path, self._version, cursor.size, kv, types, tuple(found), data_start, alignment)

    def keys(self, until_tokenizer: bool = False) -> None:
        """Read the keys with their values."""
        for _ in range(self._key_count):
            key = self._kept_string()
            if not key:
                raise InvalidGGUF("GGUF key is empty")
            if key in self._kv:
                raise InvalidGGUF(f"GGUF key {quote(key)} is there twice")
            if until_tokenizer and key.startswith("tokenizer.") and "general.architecture" in self._kv:
                return
            self._types[key] = kind = self._cursor.value(U32)
            self._kv[key] = self._value(kind)

    def _value(self, kind: int) -> Value:
        if kind == STRING:
            return self._kept_string()
        if kind == ARRAY:
            return self._array()
        if kind not in FIXED:
            raise InvalidGGUF(f"invalid type: {kind}")
        value = self._cursor.value(FIXED[kind])
        return float32(value) if kind == FLOAT32 else value

    def _array(self) -> ArrayRef:
        cursor = self._cursor
        kind, count = cursor.value(U32), cursor.value(U64)
        if kind != STRING and kind not in FIXED:
            raise InvalidGGUF(f"invalid array type: {kind}")
        if count > MAX_ARRAY:
            raise InvalidGGUF(f"GGUF array size {count} exceeds maximum {MAX_ARRAY}")
        start = cursor.position
        if kind == STRING:
            cursor.skip_strings(count)
        else:
            cursor.skip(count * FIXED[kind].size)
        return ArrayRef(self._path, start, count, kind, cursor.position - start)

    def _alignment(self) -> int:
        alignment = self._kv.get("general.alignment", DEFAULT_ALIGNMENT)
        stated = self._types.get("general.alignment", UINT32)
        if stated != UINT32 or not isinstance(alignment, int):
            raise InvalidGGUF("general.alignment is no uint32")
        if alignment == 0 or alignment & (alignment - 1):
            raise InvalidGGUF(f"invalid GGUF alignment: {alignment}")
        return alignment

    def _tensor(self, alignment: int) -> Tensor:
        cursor, name = self._cursor, self._kept_string()
        if len(name.encode()) > MAX_TENSOR_NAME:
            raise InvalidGGUF(f"tensor {quote(name)} has a name over {MAX_TENSOR_NAME} bytes")
        dimensions = cursor.value(U32)
        if dimensions > MAX_DIMENSIONS:
            raise InvalidGGUF(f"tensor {quote(name)} dimensions {dimensions} exceeds maximum {MAX_DIMENSIONS}")
        shape = tuple(cursor.values(U64, dimensions))
        type_id, offset = cursor.value(U32), cursor.value(U64)
        kind = self._tensor_type(type_id)
        elements = math.prod(shape)
        if any(length > _INT64 for length in shape) or elements > _INT64:
            raise InvalidGGUF(f"tensor {quote(name)} elements overflow")
        if kind is None or (shape[0] if shape else 1) % kind.block or kind.bytes_of(elements) > _INT64:
            raise InvalidGGUF(f"tensor {quote(name)} size overflow")
        if offset % alignment:
            raise InvalidGGUF(f"tensor {quote(name)} offset {offset} is no multiple of {alignment}")
        return Tensor(name, kind.name, shape, offset, kind.bytes_of(elements), type_id)

    def _tensor_type(self, type_id: int) -> TensorType | None:
        if type_id == EARLY_MXFP4 and self._kv.get("general.architecture") == "gptoss":
            return TENSOR_TYPES[39]
        return TENSOR_TYPES.get(type_id)

    def _check(self, tensors: list[Tensor], data_start: int) -> None:
        """Names differ, sums fit, and all data lies inside of the file, each tensor's for itself."""
        names: set[str] = set()
        total = 0
        for tensor in tensors:
            if tensor.name in names:
                raise InvalidGGUF(f"tensor {quote(tensor.name)} is there twice")
            names.add(tensor.name)
            total += tensor.elements
            if total > _INT64:
                raise InvalidGGUF("parameter count overflow")
            end = data_start + tensor.offset + tensor.bytes
            if end > _INT64:
                raise InvalidGGUF(f"tensor {quote(tensor.name)} offset+size overflows")
            if end > self._cursor.size:
                raise InvalidGGUF(
                    f"tensor {quote(tensor.name)} offset+size ({end}) exceeds file size ({self._cursor.size})"
                )
        by_place = sorted((tensor for tensor in tensors if tensor.bytes), key=lambda tensor: tensor.offset)
        for before, after in pairwise(by_place):
            if before.offset + before.bytes > after.offset:
                raise InvalidGGUF(f"tensors {quote(before.name)} and {quote(after.name)} overlap")

    def _kept_string(self) -> str:
        before = self._cursor.position
        text = self._cursor.string()
        self._text += self._cursor.position - before
        if self._text > MAX_TEXT:
            raise InvalidGGUF(f"GGUF texts exceed maximum {MAX_TEXT}")
        return text


def _version(cursor: Cursor) -> int:
    magic = cursor.take(len(MAGIC)) if cursor.size >= len(MAGIC) else b""
    if magic != MAGIC:
        raise InvalidGGUF("invalid file magic")
    version = cursor.value(U32)
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        known = swapped in VERSIONS
        raise InvalidGGUF("big-endian GGUF is not supported" if known else f"unsupported GGUF version {version}")
    return version


def _count(cursor: Cursor, what: str, smallest: int, maximum: int) -> int:
    """A number of records, each of which takes so many bytes at least."""
    count: int = cursor.value(U64)
    if count > maximum:
        raise InvalidGGUF(f"GGUF {what} count {count} exceeds maximum {maximum}")
    if count * smallest > cursor.remaining:
        raise InvalidGGUF("unexpected EOF")
    return count
