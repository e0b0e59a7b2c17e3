"""What the engine is told: the type of the whole, and the tensors and keys that differ from what it would do itself.

It leaves vectors, norms and small tables alone and mixes types by the roles of tensors. Parts of a model that see, hear
or guess ahead it would take for text and quantise as well; they keep their type here, as in the reference.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from modelstore.ggufheader import Header
from modelstore.quantize.types import UNQUANTIZED, element_type, file_type

KEPT: Final = ("a.", "mm.", "mtp.", "s.", "v.")
"""How the names of tensors begin that keep their type."""
ALIGNMENT: Final = 32
"""Of the files that the engine writes, whatever their metadata says."""

_MIXTURES: Final = ("Q4_K_S", "Q4_K_M")
_DEEPSEEK: Final = ("attn_k_b", "attn_q_a", "attn_q_b", "attn_v_b", "attn_kv_a_mqa")
_FINER: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    **dict.fromkeys(("qwen35", "qwen35moe"), ((r"^blk\.[0-9]+\.nextn\.eh_proj\.weight$", "Q8_0"),)),
    "gemma3n": ((r"^per_layer_token_embd\.weight$", "F16"),),
    "deepseek2": tuple((rf"{name}\.weight$", "Q8_0") for name in _DEEPSEEK),
    **dict.fromkeys(("glmocr", "glm4"), ((r"^token_embd\.weight$", "F16"), (r"^output\.weight$", "F16"))),
}
"""By architecture: tensors that lose too much in a mixture of four bits, and their type there."""
_SPECIAL: Final = re.compile(r"[\\^$.|?*+()\[\]{}/-]")


@dataclass(frozen=True, slots=True)
class Recipe:
    """`number` is the type of the whole; of `tensors` the first pattern that is found in a name counts."""

    number: int
    tensors: tuple[tuple[str, int], ...] = ()
    """Regular expressions of ECMAScript, and ggml's number of a type."""
    keys: tuple[tuple[str, int], ...] = ()
    """Numbers in the metadata to set."""


def recipe_for(target: str, headers: Sequence[Header]) -> Recipe:
    """How weights, whose files have these headers, are brought into a type of `types.SUPPORTED`."""
    kept = _kept(headers)
    finer = _FINER.get(headers[0].architecture, ()) if target in _MIXTURES else ()
    tensors = (*kept, *((pattern, element_type(name)) for pattern, name in finer))
    keys = (("general.alignment", ALIGNMENT),) if headers[0].alignment != ALIGNMENT else ()
    if kept and target in UNQUANTIZED:
        # The engine knows exceptions only from types that are quantised; so this is one of which all is an exception.
        keys = (*keys, ("general.file_type", file_type(target)))
        return Recipe(file_type("Q8_0"), (*tensors, (".", element_type(target))), keys)
    return Recipe(file_type(target), tensors, keys)


def is_kept(name: str) -> bool:
    """Whether the tensor keeps its type."""
    return name.startswith(KEPT)


def _kept(headers: Sequence[Header]) -> list[tuple[str, int]]:
    tensors = (tensor for header in headers for tensor in header.tensors)
    return [
        (f"^{_escaped(tensor.name)}$", tensor.type_id)
        for tensor in tensors
        if is_kept(tensor.name) and len(tensor.shape) > 1
    ]


def _escaped(name: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", name)
