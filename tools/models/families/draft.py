"""A GGUF file in memory: what is read, changed and written again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import dequantize
from numpy.typing import NDArray

Type = gguf.GGUFValueType
Quantization = gguf.GGMLQuantizationType
SMALL_FACTORS = ("ssm_conv1d.weight", "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight")
KEPT_TYPES = (Quantization.F32, Quantization.F16, Quantization.MXFP4)


@dataclass
class Draft:
    """Metadata and tensors of one model. Shapes are numpy's: the reverse of GGUF's."""

    architecture: str
    metadata: dict[str, tuple[Any, Type, Type | None]] = field(default_factory=dict)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)
    quantized: dict[str, Quantization] = field(default_factory=dict)
    """Types of those tensors that are raw blocks."""

    def put(self, key: str, value: Any) -> None:
        """Set a value of the model's own prefix; its type follows from Python's."""
        self.set(f"{self.architecture}.{key}", value)

    def set(self, key: str, value: Any) -> None:
        """Set a value; integers become uint32, or int32 in arrays."""
        if isinstance(value, (list, tuple)):
            self.metadata[key] = (list(value), Type.ARRAY, _type(value[0], array=True))
        else:
            self.metadata[key] = (value, _type(value, array=False), None)

    def default(self, key: str, value: Any) -> None:
        """Set a value of the model's own prefix that is not there yet."""
        if f"{self.architecture}.{key}" not in self.metadata:
            self.put(key, value)

    def get(self, key: str) -> Any:
        """A value of the model's own prefix; None when it is not there."""
        return self.metadata.get(f"{self.architecture}.{key}", (None,))[0]

    def rename_architecture(self, name: str) -> None:
        """Give the model and its keys another prefix."""
        old, self.architecture = self.architecture + ".", name
        self.metadata = {f"{name}.{k[len(old) :]}" if k.startswith(old) else k: v for k, v in self.metadata.items()}

    def rename_tensors(self, old: str, new: str) -> None:
        """Replace a part of every tensor's name."""
        self.tensors = {name.replace(old, new): data for name, data in self.tensors.items()}
        self.quantized = {name.replace(old, new): kind for name, kind in self.quantized.items()}

    def add_weight(self, name: str, values: NDArray[np.float32]) -> None:
        """A tensor in the type that llama.cpp wants for it: vectors and small factors in full precision."""
        small = values.ndim == 1 or name.endswith(SMALL_FACTORS)
        self.tensors[name] = values.astype(np.float32 if small else np.float16)

    def copy_vocabulary(self, other: "Draft") -> None:
        """Take over tokens, merges, special ids and template."""
        self.metadata |= {key: entry for key, entry in other.metadata.items() if key.startswith("tokenizer.")}

    def promoted(self) -> "Draft":
        """The same model with full precision weights, to compare with a reference."""
        wide = {
            name: data.astype(np.float32) if data.dtype == np.float16 else data for name, data in self.tensors.items()
        }
        return Draft(self.architecture, self.metadata, wide, self.quantized)

    def write(self, path: Path) -> None:
        """Write the file."""
        writer = gguf.GGUFWriter(str(path), self.architecture)
        for key, (value, kind, inner) in self.metadata.items():
            writer.add_key_value(key, value, kind, sub_type=inner)
        for name, data in self.tensors.items():
            writer.add_tensor(name, data, raw_dtype=self.quantized.get(name))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    @classmethod
    def read(cls, path: Path) -> "Draft":
        """Everything of a file; bfloat16 weights become half precision."""
        reader = gguf.GGUFReader(str(path))
        architecture = str(reader.fields["general.architecture"].contents())
        draft = cls(architecture)
        for key, item in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture" or not item.types:
                continue
            inner = item.types[-1] if item.types[0] == Type.ARRAY else None
            value = item.contents() if len(item.data) else []
            if value != []:
                draft.metadata[key] = (value, item.types[0], inner)
        for tensor in reader.tensors:
            if tensor.tensor_type == Quantization.BF16:
                draft.add_weight(tensor.name, dequantize(tensor.data, tensor.tensor_type))
                continue
            if tensor.tensor_type not in KEPT_TYPES:
                raise ValueError(f"{path}: {tensor.name} has type {tensor.tensor_type.name}")
            draft.tensors[tensor.name] = np.array(tensor.data)
            if tensor.tensor_type == Quantization.MXFP4:
                draft.quantized[tensor.name] = tensor.tensor_type
        return draft


def _type(value: Any, *, array: bool) -> Type:
    if isinstance(value, bool):
        return Type.BOOL
    if isinstance(value, str):
        return Type.STRING
    if isinstance(value, float):
        return Type.FLOAT32
    return Type.INT32 if array else Type.UINT32
