"""Whether a result is what it should be: the engine's own word is not enough for weights that replace others."""

from collections.abc import Sequence
from pathlib import Path

from modelstore.errors import InvalidGGUF
from modelstore.gguf import read_header
from modelstore.ggufheader import Header, Tensor
from modelstore.quantize.errors import QuantizeFailed
from modelstore.quantize.recipe import is_kept
from modelstore.quantize.types import file_type
from modelstore.quoting import quote


def check(headers: Sequence[Header], result: Path, target: str) -> Header:
    """The result's header: a sound file of the type, with every tensor of the source. Raises `QuantizeFailed`."""
    try:
        made = read_header(result)
    except (InvalidGGUF, FileNotFoundError) as error:
        reason = error.reason if isinstance(error, InvalidGGUF) else "there is none"
        raise QuantizeFailed(f"the result is unusable: {reason}") from error
    if made.integer("general.file_type", -1) != file_type(target):
        raise QuantizeFailed("the result is of another type")
    tensors = {tensor.name: tensor for tensor in made.tensors}
    for header in headers:
        for tensor in header.tensors:
            if not _is_same(tensor, tensors.pop(tensor.name, None)):
                raise QuantizeFailed(f"tensor {quote(tensor.name)} was not carried over")
    if tensors:
        raise QuantizeFailed(f"tensor {quote(next(iter(tensors)))} came from nowhere")
    return made


def _is_same(source: Tensor, made: Tensor | None) -> bool:
    if made is None or made.elements != source.elements or made.shape[:1] != source.shape[:1]:
        return False
    return made.type == source.type or not is_kept(source.name)
