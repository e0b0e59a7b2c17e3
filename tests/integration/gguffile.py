"""A GGUF file taken apart, changed, and put together again: sound, or with one lie in it."""

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelstore.gguf import read_header
from modelstore.ggufheader import ArrayRef
from tests.unit.modelstore.ggufbytes import ARRAY, Key, key, tensor

_ALIGNMENT = 32


@dataclass
class Tensor:
    """One tensor with its data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: bytes
    offset: int | None = None
    """None: where the data lies."""


@dataclass
class File:
    """Keys and tensors of a file in their order."""

    keys: dict[str, tuple[int, Any]] = field(default_factory=dict[str, tuple[int, Any]])
    tensors: list[Tensor] = field(default_factory=list[Tensor])

    @classmethod
    def read(cls, path: Path) -> "File":
        header, content = read_header(path), path.read_bytes()
        keys = {name: (header.types[name], _value(value)) for name, value in header.kv.items()}
        tensors: list[Tensor] = []
        for one in header.tensors:
            start = header.data_start + one.offset
            tensors.append(Tensor(one.name, one.shape, one.type_id, content[start : start + one.bytes]))
        return cls(keys, tensors)

    def set(self, name: str, kind: int, value: Any) -> "File":
        """Change a key, or add it."""
        self.keys[name] = (kind, value)
        return self

    def drop(self, name: str) -> "File":
        """Leave a key out."""
        del self.keys[name]
        return self

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name."""
        return next(one for one in self.tensors if one.name == name)

    def sections(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Front, keys, tensor list with its padding, data."""
        entries: list[Key] = [(name, kind, value) for name, (kind, value) in self.keys.items()]
        front = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(entries))
        keys = b"".join(key(*entry) for entry in entries)
        listed, data = b"", b""
        for one in self.tensors:
            offset = len(data) if one.offset is None else one.offset
            listed += tensor(one.name, one.shape, one.kind, offset)
            data += one.data + bytes(-len(one.data) % _ALIGNMENT)
        listed += bytes(-(len(front) + len(keys) + len(listed)) % _ALIGNMENT)
        return front, keys, listed, data

    def build(self) -> bytes:
        """The file."""
        return b"".join(self.sections())

    def shards(self, count: int) -> list[bytes]:
        """The file cut into shards, as llama.cpp's splitter does: metadata in the first, tensors shared out."""
        files: list[bytes] = []
        each = math.ceil(len(self.tensors) / count)
        for number in range(count):
            shard = File(dict(self.keys) if number == 0 else {}, self.tensors[number * each : (number + 1) * each])
            shard.set("split.no", _U16, number).set("split.count", _U16, count)
            files.append(shard.set("split.tensors.count", _I32, len(self.tensors)).build())
        return files


_U16, _I32 = 2, 5


def _value(value: Any) -> Any:
    return (value.elem_type, value.read()) if isinstance(value, ArrayRef) else value


__all__ = ["ARRAY", "File", "Tensor"]
