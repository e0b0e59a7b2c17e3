"""GGUF files that stand for weights, projectors and adapters; their tensors are all zeros."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tests.unit.modelstore import ggufbytes

F32, F16, Q8_0 = 0, 1, 8
_BLOCKS = {F32: (1, 4), F16: (1, 2), Q8_0: (32, 34)}
"""Elements and bytes of a block."""
_OWN = ("general.", "tokenizer.", "adapter.", "split.")


def gguf(kv: Mapping[str, Any], tensors: Sequence[tuple[str, tuple[int, ...], int]] = ()) -> bytes:
    """A file with these strings, bools and u32 numbers, and tensors given by name, shape and type."""
    entries: list[bytes] = []
    size = 0
    for name, shape, kind in tensors:
        entries.append(ggufbytes.tensor(name, shape, kind, size))
        block, block_bytes = _BLOCKS[kind]
        size += -(-math.prod(shape) // block * block_bytes // 32) * 32
    return ggufbytes.gguf([(key, _type(value), value) for key, value in kv.items()], entries, size)


def model(architecture: str = "llama", file_type: int = 0, **kv: Any) -> bytes:
    """Weights of a text model with one small matrix; keys have `__` for a dot, and the architecture is put in front."""
    kind = {0: F32, 1: F16, 7: Q8_0}[file_type]
    members: dict[str, Any] = {
        "general.architecture": architecture,
        "general.file_type": file_type,
        f"{architecture}.block_count": 1,
    }
    for key, value in kv.items():
        dotted = key.replace("__", ".")
        members[dotted if dotted.startswith(_OWN) else f"{architecture}.{dotted}"] = value
    return gguf(members, [("output.weight", (32, 4), kind), ("output_norm.weight", (32,), F32)])


def _type(value: Any) -> int:
    if isinstance(value, bool):
        return ggufbytes.BOOL
    return ggufbytes.U32 if isinstance(value, int) else ggufbytes.STRING
