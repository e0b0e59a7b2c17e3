"""A BERT of any shape with random weights, and its forward pass in numpy: what llama.cpp must answer for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from tools.models.bert_to_gguf import SPECIAL, Checkpoint

Array = NDArray[np.float32]


def random_bert(
    words: Sequence[str],
    *,
    seed: int,
    width: int,
    heads: int,
    layers: int,
    positions: int,
    head: bool = False,
    pooling: gguf.PoolingType = gguf.PoolingType.MEAN,
) -> Checkpoint:
    """Matrices are rounded to 16 bits, as they will be written. With `head`, it scores pairs."""
    config: dict[str, Any] = {
        "vocab_size": len(SPECIAL) + len(words),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 2 * width,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    }
    tensors = _Weights(np.random.default_rng(seed), width).all(config, head=head)
    return Checkpoint(config, [*SPECIAL, *words], tensors, pooling)


class _Weights:
    """Drawn one after the other."""

    def __init__(self, random: np.random.Generator, width: int) -> None:
        self._random = random
        self._width = width
        self._tensors: dict[str, Array] = {}

    def all(self, config: Mapping[str, Any], *, head: bool) -> dict[str, Array]:
        width, inner = self._width, config["intermediate_size"]
        self._matrix("bert.embeddings.word_embeddings.weight", config["vocab_size"], width)
        self._matrix("bert.embeddings.position_embeddings.weight", config["max_position_embeddings"], width, scale=0.05)
        self._matrix("bert.embeddings.token_type_embeddings.weight", config["type_vocab_size"], width, scale=0.05)
        self._norm("bert.embeddings.LayerNorm")
        for number in range(config["num_hidden_layers"]):
            layer = f"bert.encoder.layer.{number}"
            for part in ("query", "key", "value"):
                self._linear(f"{layer}.attention.self.{part}", width, width)
            self._linear(f"{layer}.attention.output.dense", width, width)
            self._norm(f"{layer}.attention.output.LayerNorm")
            self._linear(f"{layer}.intermediate.dense", inner, width)
            self._linear(f"{layer}.output.dense", width, inner)
            self._norm(f"{layer}.output.LayerNorm")
        if head:
            self._linear("bert.pooler.dense", width, width)
            self._linear("classifier", 1, width)
        return self._tensors

    def _matrix(self, name: str, *shape: int, scale: float = 0.3) -> None:
        self._tensors[name] = self._random.normal(0, scale, shape).astype(np.float16).astype(np.float32)

    def _linear(self, name: str, rows: int, columns: int) -> None:
        self._matrix(f"{name}.weight", rows, columns)
        self._matrix(f"{name}.bias", rows, scale=0.1)

    def _norm(self, name: str) -> None:
        self._tensors[f"{name}.weight"] = self._random.normal(1, 0.1, self._width).astype(np.float32)
        self._matrix(f"{name}.bias", self._width, scale=0.1)


class Bert:
    """Its forward pass. llama.cpp takes every token to be of the first type."""

    def __init__(self, model: Checkpoint) -> None:
        self._config = model.config
        self._tensors = model.tensors

    def score(self, tokens: list[int]) -> float:
        """What the head makes of the first token's last state."""
        states = self.states(tokens)
        pooled = np.tanh(self._linear("bert.pooler.dense", states[:1]))
        return float(self._linear("classifier", pooled)[0, 0])

    def states(self, tokens: list[int]) -> Array:
        """The last hidden states: tokens × width."""
        table = self._tensors
        states = table["bert.embeddings.word_embeddings.weight"][tokens]
        states = states + table["bert.embeddings.position_embeddings.weight"][: len(tokens)]
        states = states + table["bert.embeddings.token_type_embeddings.weight"][0]
        states = self._norm("bert.embeddings.LayerNorm", states)
        for number in range(self._config["num_hidden_layers"]):
            states = self._layer(f"bert.encoder.layer.{number}", states)
        return states

    def _layer(self, name: str, states: Array) -> Array:
        attended = self._linear(f"{name}.attention.output.dense", self._attention(name, states))
        states = self._norm(f"{name}.attention.output.LayerNorm", states + attended)
        inner = self._linear(f"{name}.intermediate.dense", states)
        inner = inner * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
        return self._norm(f"{name}.output.LayerNorm", states + self._linear(f"{name}.output.dense", inner))

    def _attention(self, name: str, states: Array) -> Array:
        heads = self._config["num_attention_heads"]

        def split(part: str) -> Array:
            found = self._linear(f"{name}.attention.self.{part}", states)
            return found.reshape(len(states), heads, -1).transpose(1, 0, 2)

        query, key, value = split("query"), split("key"), split("value")
        weights = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        weights = np.exp(weights - weights.max(-1, keepdims=True))
        found = weights / weights.sum(-1, keepdims=True) @ value
        return found.transpose(1, 0, 2).reshape(len(states), -1)

    def _linear(self, name: str, states: Array) -> Array:
        return states @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _norm(self, name: str, states: Array) -> Array:
        centred = states - states.mean(-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(-1, keepdims=True) + self._config["layer_norm_eps"])
        return centred / deviation * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]
