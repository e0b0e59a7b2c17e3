"""GGUF files piece by piece: values of every type, and files that are not sound."""

import struct
from collections.abc import Sequence
from typing import Any

CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10

Key = tuple[str, int, Any]
"""Name, type, value; of an array the value is `(element type, list)`."""


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(kind: int, content: Any) -> bytes:
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        elem, items = content
        return struct.pack("<IQ", elem, len(items)) + b"".join(value(elem, item) for item in items)
    return struct.pack("<" + CODES[kind], content)


def key(name: str, kind: int, content: Any) -> bytes:
    return string(name) + struct.pack("<I", kind) + value(kind, content)


def tensor(name: str, shape: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf(keys: Sequence[Key] = (), tensors: Sequence[bytes] = (), data: int = 0, version: int = 3) -> bytes:
    """A file with so many zero bytes of data behind the padding."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    head += b"".join(key(*each) for each in keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data) if tensors else head


def llama(*keys: Key, data: int = 256) -> bytes:
    """A file that looks like a model: an F32 matrix of 8 × 4 and a vector of 8, and a little vocabulary."""
    standard: list[Key] = [
        ("general.architecture", STRING, "llama"),
        ("general.file_type", U32, 1),
        ("llama.context_length", U32, 2048),
        ("llama.embedding_length", U64, 32),
        ("llama.rope.freq_base", F32, 1e-5),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, ["a", "b", "Ġc"])),
        ("tokenizer.ggml.scores", ARRAY, (F32, [0.1, -1.5, 3e-6])),
        ("tokenizer.chat_template", STRING, "{{ messages }}"),
    ]
    return gguf([*standard, *keys], [tensor("w", [8, 4]), tensor("b", [8], offset=128)], data)
