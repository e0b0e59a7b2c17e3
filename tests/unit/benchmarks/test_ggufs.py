"""Model files."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from benchmarks import ggufs
from benchmarks.folders import Folders
from benchmarks.shapes import LARGE, LARGE_COPY, MINILM, SMALL, SMALL_COPY, BertShape, CopyShape, LlamaShape, digest
from benchmarks.vocabulary import EOS

LLAMA = LlamaShape("tiny", layers=2, width=64, ffn=96, heads=4, kv_heads=2, vocabulary=400, context=128)
COPY = CopyShape("tiny-copy", layers=2, width=64, ffn=96, heads=4, kv_heads=2, vocabulary=400, context=128)
BERT = BertShape("tiny-bert", layers=1, width=32, ffn=64, heads=2, vocabulary=300, context=64)


def read(path: Path) -> Any:
    return gguf.GGUFReader(str(path))


def test_shapes_are_those_of_the_comparison() -> None:
    """Layers, width, inner width, heads, heads of K and V, vocabulary."""

    def sizes(shape: LlamaShape) -> tuple[int, ...]:
        return shape.layers, shape.width, shape.ffn, shape.heads, shape.kv_heads, shape.vocabulary

    assert sizes(SMALL) == (6, 256, 768, 4, 4, 32_000)
    assert sizes(LARGE) == (24, 896, 4_864, 14, 2, 32_000)
    assert (sizes(SMALL_COPY), sizes(LARGE_COPY)) == (sizes(SMALL), sizes(LARGE))
    assert (MINILM.layers, MINILM.width, MINILM.ffn, MINILM.heads) == (6, 384, 1_536, 12)


def test_llama_file(tmp_path: Path) -> None:
    """Matrices are Q4_0, norms F32; keys say what the shape says."""
    ggufs.write(LLAMA, tmp_path / "model.gguf")
    reader = read(tmp_path / "model.gguf")
    fields = {name: reader.fields[name].contents() for name in reader.fields}
    assert fields["general.architecture"] == "llama"
    assert fields["llama.block_count"] == 2
    assert fields["llama.attention.head_count_kv"] == 2
    assert fields["llama.context_length"] == 128
    assert len(fields["tokenizer.ggml.tokens"]) == 400
    kinds = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
    assert kinds["blk.1.ffn_down.weight"] == gguf.GGMLQuantizationType.Q4_0
    assert kinds["token_embd.weight"] == gguf.GGMLQuantizationType.Q4_0
    assert kinds["blk.0.attn_norm.weight"] == gguf.GGMLQuantizationType.F32
    shapes = {tensor.name: tuple(map(int, tensor.shape)) for tensor in reader.tensors}
    assert shapes["blk.0.attn_k.weight"] == (64, 32)
    assert shapes["blk.0.ffn_up.weight"] == (64, 96)


def test_the_end_token_cannot_be_reached(tmp_path: Path) -> None:
    """Rows of what is no text are zero, so their logit is that of an average token; the others are not."""
    ggufs.write(LLAMA, tmp_path / "model.gguf")
    (tensor,) = [one for one in read(tmp_path / "model.gguf").tensors if one.name == "token_embd.weight"]
    rows = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    assert not rows[: EOS + 1].any()
    assert rows[-1].any()
    assert np.abs(rows).max() < 0.2


def test_a_model_that_copies_says_the_next_word(tmp_path: Path) -> None:
    """Row n of its output matrix is row n - 1 of its embedding; what its layers add is small. Else it is the same."""
    ggufs.write(COPY, tmp_path / "copy.gguf")
    ggufs.write(LLAMA, tmp_path / "model.gguf")
    mine, usual = (
        {one.name: gguf.quants.dequantize(one.data, one.tensor_type) for one in read(tmp_path / name).tensors}
        for name in ("copy.gguf", "model.gguf")
    )
    assert (mine["output.weight"][1:] == mine["token_embd.weight"][:-1]).all()
    assert (mine["token_embd.weight"] == usual["token_embd.weight"]).all()
    assert (mine["blk.0.attn_q.weight"] == usual["blk.0.attn_q.weight"]).all()
    for name in ("blk.1.attn_output.weight", "blk.1.ffn_down.weight"):
        assert np.abs(mine[name]).mean() < 0.02 * np.abs(usual[name]).mean()
    assert set(mine) == {*usual, "output.weight"}


def test_bert_file(tmp_path: Path) -> None:
    """Matrices are F16, what is added F32, and vectors are pooled by their mean."""
    ggufs.write(BERT, tmp_path / "model.gguf")
    reader = read(tmp_path / "model.gguf")
    assert reader.fields["general.architecture"].contents() == "bert"
    assert reader.fields["bert.pooling_type"].contents() == gguf.PoolingType.MEAN
    assert reader.fields["bert.attention.causal"].contents() is False
    kinds = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
    assert kinds["blk.0.attn_q.weight"] == gguf.GGMLQuantizationType.F16
    assert kinds["position_embd.weight"] == gguf.GGMLQuantizationType.F32


def test_equal_shapes_give_equal_files(tmp_path: Path) -> None:
    """A figure of next year is about the same model."""
    for name in ("a", "b"):
        ggufs.write(LLAMA, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_is_written_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted writer leaves nothing behind; a finished file is taken as it is."""

    def interrupted(shape: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    folders = Folders(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(ggufs, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ggufs.model_file(LLAMA, folders)
    assert not list(tmp_path.rglob("*.*"))
    path = ggufs.model_file(LLAMA, folders)
    assert path == folders.model("tiny", digest(LLAMA, ggufs.RECIPE))
    path.write_bytes(b"as it is")
    assert ggufs.model_file(LLAMA, folders).read_bytes() == b"as it is"


def test_digest_follows_the_shape_and_the_recipe() -> None:
    """A changed recipe never meets an old file."""
    assert digest(LLAMA, 1) != digest(LLAMA, 2)
    assert digest(SMALL, 1) != digest(LARGE, 1)
