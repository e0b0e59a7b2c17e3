"""Files of a model's shape in which the weights are a hole: they take no room on the disk."""

import math
import os
from pathlib import Path
from typing import Final

import gguf
import numpy as np

from tools.memory.shapes import Shape, Value

_ALIGNMENT: Final = 32


def write(shape: Shape, path: Path) -> None:
    """Keys and the list of tensors, then as many zeros as there would be weights."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_string("tokenizer.ggml.model", "none")
    for name, value in shape.keys.items():
        _add(writer, f"{shape.architecture}.{name}", value)
    size = 0
    for name, extents, kind in shape.tensors:
        number = gguf.GGMLQuantizationType[kind]
        elements, block_bytes = gguf.GGML_QUANT_SIZES[number]
        count = math.prod(extents) // elements * block_bytes
        writer.add_tensor_info(name, extents[::-1], np.dtype(np.float32), count, number)
        size += -(-count // _ALIGNMENT) * _ALIGNMENT
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = -(-path.stat().st_size // _ALIGNMENT) * _ALIGNMENT
    os.truncate(path, start + size)


def _add(writer: gguf.GGUFWriter, key: str, value: Value) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, value)
