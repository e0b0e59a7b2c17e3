"""Sizes of the models that the benchmark writes."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """A decoder of the llama architecture."""

    name: str
    layers: int
    width: int
    ffn: int
    heads: int
    kv_heads: int
    vocabulary: int = 32_000
    context: int = 2_048

    @property
    def head(self) -> int:
        """Values of one head."""
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class CopyShape(LlamaShape):
    """A decoder with as much to compute, that says after each word the next one of the vocabulary."""

    follows: int = 1


@dataclass(frozen=True, slots=True)
class BertShape:
    """An encoder of the BERT architecture."""

    name: str
    layers: int
    width: int
    ffn: int
    heads: int
    vocabulary: int = 30_522
    context: int = 512


Shape: TypeAlias = LlamaShape | BertShape

SMALL: Final = LlamaShape("llama-15m", layers=6, width=256, ffn=768, heads=4, kv_heads=4)
LARGE: Final = LlamaShape("llama-0.5b", layers=24, width=896, ffn=4_864, heads=14, kv_heads=2)
SMALL_COPY: Final = CopyShape("llama-15m-copy", layers=6, width=256, ffn=768, heads=4, kv_heads=4)
LARGE_COPY: Final = CopyShape("llama-0.5b-copy", layers=24, width=896, ffn=4_864, heads=14, kv_heads=2)
MINILM: Final = BertShape("minilm", layers=6, width=384, ffn=1_536, heads=12)


def digest(shape: Shape, recipe: int) -> str:
    """Changes with the shape, and with `recipe`, the version of what writes the file."""
    text = f"{recipe} {sorted(asdict(shape).items())}"
    return sha256(text.encode()).hexdigest()[:8]
