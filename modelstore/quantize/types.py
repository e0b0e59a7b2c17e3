"""The types that weights can be brought into, under the names that requests use."""

from typing import Final

from modelstore.ggml import FILE_TYPES, TENSOR_TYPES
from modelstore.quantize.errors import UnsupportedType

UNQUANTIZED: Final = ("F32", "F16", "BF16")
"""The types that weights may be brought from; those that are quantised already have lost too much."""
SUPPORTED: Final = (
    *UNQUANTIZED,
    "Q8_0", "Q6_K", "Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M",
    "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q2_K", "IQ4_NL", "IQ4_XS", "IQ3_S", "IQ3_M",
)  # fmt: skip
"""In the order in which a refusal lists them."""
ALIASES: Final = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
NEED_IMATRIX: Final = frozenset(
    ("Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ1_S", "IQ1_M")
)
"""Types with tensors that the engine does not make without measurements of what each weight matters."""

_NUMBERS: Final = {name: number for number, name in FILE_TYPES.items()}
_ELEMENTS: Final = {kind.name: number for number, kind in TENSOR_TYPES.items()}


def target_type(asked: str) -> str:
    """The type that a request names, in any case. Raises `UnsupportedType` for one that cannot be made here."""
    name = asked.upper()
    if name in NEED_IMATRIX:
        raise UnsupportedType(name, f"quantization type {name} needs an importance matrix and is not supported")
    target = ALIASES.get(name, name)
    if target not in SUPPORTED:
        listed = ", ".join(SUPPORTED)
        raise UnsupportedType(name, f"unsupported quantization type {name} - supported types are {listed}")
    return target


def file_type(name: str) -> int:
    """llama.cpp's number for whole files of a type, which is also `general.file_type`."""
    return _NUMBERS[name]


def element_type(name: str) -> int:
    """ggml's number for the elements of a tensor."""
    return _ELEMENTS[name]
