"""A header taken apart into layers: bytes of their tensors, and what kind of memory each has."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from modelstore.ggufheader import Header, Tensor
from scheduler.estimate.keys import Keys
from scheduler.estimate.kinds import ENCODERS, Kinds, head_size
from scheduler.requests import Block, ModelFacts

MAX_BLOCKS: Final = 512
"""The engine aborts above it."""
_BLOCK: Final = re.compile(r"blk\.([0-9]{1,4})\.")
_INPUT: Final = ("token_embd.", "token_embd_norm.", "position_embd.", "token_types.", "per_layer_token_embd.")
"""How the names of tensors begin that turn tokens into vectors."""


def facts_of(header: Header) -> ModelFacts:
    """What a header says, but for sizes of files. Raises `InvalidGGUF`, `OSError` when an array cannot be read."""
    keys = Keys(header)
    count = keys.number("block_count")
    sizes = _Weights.of(header.tensors)
    blocks = _blocks(keys, count, sizes) if 0 < count <= MAX_BLOCKS else ()
    heads = keys.each("attention.head_count", len(blocks) or 1)
    return ModelFacts(
        architecture=keys.architecture,
        block_count=count,
        blocks=blocks,
        context_length=keys.number("context_length"),
        embedding_length=keys.number("embedding_length"),
        head_count=max(heads, default=0),
        query_length=max(heads, default=0) * (keys.number("attention.key_length") or head_size(keys)),
        inner_length=_inner_length(keys),
        vocab_size=sizes.vocabulary or keys.size("tokenizer.ggml.tokens"),
        input_bytes=sizes.input,
        output_bytes=sizes.output,
        shared_bytes=0 if keys.architecture in ENCODERS else sizes.shared,
        embedding=f"{keys.architecture}.pooling_type" in header.kv,
    )


# -- weights ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Weights:
    """Bytes of tensors, by where they belong."""

    blocks: dict[int, int]
    input: int = 0
    output: int = 0
    shared: int = 0
    vocabulary: int = 0

    @classmethod
    def of(cls, tensors: Iterable[Tensor]) -> "_Weights":
        found = cls({})
        embeddings: Tensor | None = None
        has_output = False
        for tensor in tensors:
            if block := _BLOCK.match(tensor.name):
                number = int(block[1])
                found.blocks[number] = found.blocks.get(number, 0) + tensor.bytes
            elif tensor.name.startswith(_INPUT):
                found.input += tensor.bytes
            else:
                found.output += tensor.bytes
            if tensor.name == "token_embd.weight":
                embeddings = tensor
            elif tensor.name == "output.weight":
                has_output = True
                found.vocabulary = tensor.shape[-1]
        if embeddings is not None and not has_output:
            found.shared = embeddings.bytes
            found.vocabulary = embeddings.shape[-1]
        return found


# -- layers -------------------------------------------------------------------------------------------------------


def _blocks(keys: Keys, count: int, sizes: _Weights) -> tuple[Block, ...]:
    """Layers that only guess further ahead are not loaded: they take nothing."""
    trunk = count - min(keys.number("nextn_predict_layers"), count)
    kinds = Kinds(keys, count, trunk)
    return tuple(kinds.block(n, sizes.blocks.get(n, 0)) if n < trunk else Block() for n in range(count))


def _inner_length(keys: Keys) -> int:
    """The widest of feed-forward, experts in use, and recurrence."""
    dense = max(keys.each("feed_forward_length", 1))
    used = max(keys.each("expert_used_count", 1))
    each = max(keys.each("expert_feed_forward_length", 1)) or dense
    width = keys.number("embedding_length")
    experts = used * (each + width) + keys.number("expert_shared_feed_forward_length") - 2 * width  # summed in place
    if used and not keys.number("leading_dense_block_count"):
        dense = 0
    recurrence = 2 * (keys.number("ssm.inner_size") + keys.number("ssm.group_count") * keys.number("ssm.state_size"))
    return max(dense, experts, recurrence)
