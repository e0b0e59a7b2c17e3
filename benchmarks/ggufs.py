"""Model files with random weights in the shapes that `shapes` lists.

The weights are scaled so that an untrained model generates a lively text: what the layers add outweighs the embedding
of the last token (else, with tied embeddings, it would repeat that token), and the logits are spread so that the best
40 are near each other. The rows of all tokens that are no text are zero. Their logit is then 0, the middle of 32,000
random ones, which top_k 40 never reaches: no answer ends early, and no answer contains half a character.

A model that copies is the same, but for two things: what its layers add is next to nothing, and its output matrix is
the embedding's, moved by one row. So each word is followed by the next one of the vocabulary, for the price of a model
of its size.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from numpy.typing import NDArray

from benchmarks import vocabulary
from benchmarks.folders import Folders
from benchmarks.shapes import BertShape, CopyShape, LlamaShape, Shape, digest
from benchmarks.vocabulary import Vocabulary

RECIPE: Final = 1
"""Raise it when files come out differently."""
_EMBEDDING_SCALE: Final = 0.02
_OUTPUT_GAIN: Final = 5.0
_HUSHED: Final = 0.01
"""Part of the usual scale, of matrices that add to the residual stream of a model that copies."""
_ROPE_BASE: Final = 10_000.0
_EPSILON: Final = 1e-5
_MEAN: Final = gguf.PoolingType.MEAN
_Q4: Final = gguf.GGMLQuantizationType.Q4_0

Matrix = NDArray[np.float32]


def model_file(shape: Shape, folders: Folders) -> Path:
    """The file of a shape, written if it is not in the cache yet."""
    path = folders.model(shape.name, digest(shape, RECIPE))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        try:
            write(shape, fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    return path


def write(shape: Shape, path: Path) -> None:
    """Write a model. Equal shapes give equal weights."""
    if isinstance(shape, LlamaShape):
        _write_llama(shape, path)
    else:
        _write_bert(shape, path)


class _Tensors:
    """Random tensors of one file, each from a stream that depends on its name alone."""

    def __init__(self, writer: gguf.GGUFWriter) -> None:
        self._writer = writer

    def normal(self, name: str, rows: int, columns: int, scale: float, silent: int = 0) -> Matrix:
        """A matrix [rows, columns] whose first `silent` rows are zero."""
        source = np.random.default_rng(zlib.crc32(name.encode()))
        matrix = source.standard_normal((rows, columns), dtype=np.float32)
        matrix *= np.float32(scale)
        matrix[:silent] = 0
        return matrix

    def quantised(self, name: str, rows: int, columns: int, scale: float | None = None, silent: int = 0) -> None:
        """A Q4_0 matrix; without a scale it keeps the size of what goes through it."""
        matrix = self.normal(name, rows, columns, columns**-0.5 if scale is None else scale, silent)
        self._writer.add_tensor(name, gguf.quants.quantize(matrix, _Q4), raw_dtype=_Q4)

    def shifted(self, name: str, source: Matrix, rows: int) -> None:
        """A Q4_0 matrix that repeats `source`, each row so many rows further down."""
        moved = np.zeros_like(source)
        moved[rows:] = source[:-rows]
        self._writer.add_tensor(name, gguf.quants.quantize(moved, _Q4), raw_dtype=_Q4)

    def half(self, name: str, rows: int, columns: int, scale: float | None = None) -> None:
        """An F16 matrix."""
        matrix = self.normal(name, rows, columns, columns**-0.5 if scale is None else scale)
        self._writer.add_tensor(name, matrix.astype(np.float16))

    def full(self, name: str, rows: int, columns: int, scale: float) -> None:
        """An F32 matrix: what is added and not multiplied."""
        self._writer.add_tensor(name, self.normal(name, rows, columns, scale))

    def constant(self, name: str, size: int, value: float) -> None:
        """An F32 vector: the weight or bias of a norm, or a bias."""
        self._writer.add_tensor(name, np.full(size, value, np.float32))


def _write_llama(shape: LlamaShape, path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        words = vocabulary.sentencepiece(shape.vocabulary)
        _llama_keys(writer, shape, words)
        _llama_tensors(_Tensors(writer), shape, words.silent)

    _write_file(path, "llama", fill)


def _write_bert(shape: BertShape, path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        _bert_keys(writer, shape, vocabulary.wordpiece(shape.vocabulary))
        _bert_tensors(_Tensors(writer), shape)

    _write_file(path, "bert", fill)


def _write_file(path: Path, architecture: str, fill: Callable[[gguf.GGUFWriter], None]) -> None:
    writer: Any = gguf.GGUFWriter(str(path), architecture)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# -- keys ---------------------------------------------------------------------------------------------------------


def _sizes(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name(shape.name)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_vocab_size(shape.vocabulary)


def _tokens(writer: gguf.GGUFWriter, words: Vocabulary) -> None:
    writer.add_token_list(words.texts)
    writer.add_token_types(words.types)


def _llama_keys(writer: gguf.GGUFWriter, shape: LlamaShape, words: Vocabulary) -> None:
    _sizes(writer, shape)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(_EPSILON)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(_ROPE_BASE)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    _tokens(writer, words)
    writer.add_token_scores(words.scores)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(vocabulary.BOS)
    writer.add_eos_token_id(vocabulary.EOS)
    writer.add_add_bos_token(True)


def _bert_keys(writer: gguf.GGUFWriter, shape: BertShape, words: Vocabulary) -> None:
    _sizes(writer, shape)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(_MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    _tokens(writer, words)


# -- tensors ------------------------------------------------------------------------------------------------------


def _llama_tensors(tensors: _Tensors, shape: LlamaShape, silent: int) -> None:
    """The output matrix is the embedding's, as in published models of this size."""
    width, kv_width = shape.width, shape.kv_heads * shape.head
    tensors.quantised("token_embd.weight", shape.vocabulary, width, _EMBEDDING_SCALE, silent)
    adding = _HUSHED if isinstance(shape, CopyShape) else 1.0
    if isinstance(shape, CopyShape):
        embedding = tensors.normal("token_embd.weight", shape.vocabulary, width, _EMBEDDING_SCALE, silent)
        tensors.shifted("output.weight", embedding, shape.follows)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        tensors.constant(f"{block}attn_norm.weight", width, 1.0)
        tensors.quantised(f"{block}attn_q.weight", width, width)
        tensors.quantised(f"{block}attn_k.weight", kv_width, width)
        tensors.quantised(f"{block}attn_v.weight", kv_width, width)
        tensors.quantised(f"{block}attn_output.weight", width, width, adding * width**-0.5)
        tensors.constant(f"{block}ffn_norm.weight", width, 1.0)
        tensors.quantised(f"{block}ffn_gate.weight", shape.ffn, width)
        tensors.quantised(f"{block}ffn_up.weight", shape.ffn, width)
        tensors.quantised(f"{block}ffn_down.weight", width, shape.ffn, adding * shape.ffn**-0.5)
    tensors.constant("output_norm.weight", width, _OUTPUT_GAIN)


def _bert_tensors(tensors: _Tensors, shape: BertShape) -> None:
    width = shape.width
    tensors.half("token_embd.weight", shape.vocabulary, width, _EMBEDDING_SCALE)
    tensors.full("position_embd.weight", shape.context, width, _EMBEDDING_SCALE)
    tensors.full("token_types.weight", 2, width, _EMBEDDING_SCALE)
    _norm(tensors, "token_embd_norm", width)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            _linear(tensors, block + name, width, width)
        _norm(tensors, f"{block}attn_output_norm", width)
        _linear(tensors, f"{block}ffn_up", shape.ffn, width)
        _linear(tensors, f"{block}ffn_down", width, shape.ffn)
        _norm(tensors, f"{block}layer_output_norm", width)


def _norm(tensors: _Tensors, name: str, width: int) -> None:
    tensors.constant(f"{name}.weight", width, 1.0)
    tensors.constant(f"{name}.bias", width, 0.0)


def _linear(tensors: _Tensors, name: str, rows: int, columns: int) -> None:
    tensors.half(f"{name}.weight", rows, columns)
    tensors.constant(f"{name}.bias", rows, 0.0)
