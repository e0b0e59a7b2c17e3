"""Checkpoints of BERT become files that name everything as llama.cpp expects it."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from modelstore.gguf import read_arrays, read_header
from tools.models.bert_to_gguf import (
    Checkpoint,
    convert,
    gguf_name,
    read_checkpoint,
    read_safetensors,
    write_gguf,
    written_token,
)
from tools.models.random_bert import random_bert

WORDS = ["cat", "##s", "[x", "[]"]


def model(**changes: Any) -> Checkpoint:
    return random_bert(WORDS, seed=1, width=8, heads=2, layers=1, positions=16, **changes)


def safetensors(path: Path, tensors: dict[str, tuple[str, Any]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, values) in tensors.items():
        array = np.asarray(values)
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def folder_of(checkpoint: Checkpoint, folder: Path, **files: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(checkpoint.config))
    (folder / "vocab.txt").write_text("\n".join(checkpoint.vocabulary) + "\n")
    tensors = {name: ("F32", tensor) for name, tensor in checkpoint.tensors.items()}
    safetensors(folder / "model.safetensors", {**tensors, "embeddings.position_ids": ("I64", np.arange(16))})
    for name, content in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(exist_ok=True)
        file.with_suffix(".json").write_text(json.dumps(content))
    return folder


def test_tensors_of_each_type_are_read(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    halves = np.array([[1.5, -2]], np.float16)
    upper = (np.array([3.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    safetensors(file, {"a": ("F16", halves), "b": ("BF16", upper), "c": ("F32", np.array([0.1], np.float32))})
    found = read_safetensors(file)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "a": [[1.5, -2.0]],
        "b": [3.0],
        "c": [np.float32(0.1)],
    }


def test_a_type_that_no_bert_has_is_named(tmp_path: Path) -> None:
    safetensors(tmp_path / "x", {"weird": ("F8_E4M3", np.zeros(1, np.uint8))})
    with pytest.raises(ValueError, match="weird has the type F8_E4M3"):
        read_safetensors(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "head", "found"),
    [
        ("bert.embeddings.word_embeddings.weight", False, "token_embd.weight"),
        ("embeddings.LayerNorm.bias", False, "token_embd_norm.bias"),
        ("encoder.layer.11.attention.self.query.weight", False, "blk.11.attn_q.weight"),
        ("bert.encoder.layer.0.output.dense.bias", False, "blk.0.ffn_down.bias"),
        ("embeddings.position_ids", False, None),
        ("cls.predictions.bias", False, None),
        ("pooler.dense.weight", False, None),
        ("bert.pooler.dense.weight", True, "cls.weight"),
        ("classifier.bias", True, "cls.output.bias"),
    ],
)
def test_names(name: str, head: bool, found: str | None) -> None:
    assert gguf_name(name, head=head) == found


@pytest.mark.parametrize(
    ("token", "written"), [("cat", "▁cat"), ("##s", "s"), ("[CLS]", "[CLS]"), ("[x", "▁[x"), ("[]", "▁[]")]
)
def test_tokens(token: str, written: str) -> None:
    assert written_token(token) == written


def test_an_embedding_model(tmp_path: Path) -> None:
    modules = [{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "1_P"}]
    modules.append({"type": "a.Normalize", "path": "2"})
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "word_embedding_dimension": 8}
    source = folder_of(model(), tmp_path, modules=modules, **{"1_P__config": pooling})
    convert(source, tmp_path / "out.gguf", "a name")
    header = read_header(tmp_path / "out.gguf")
    assert header.kv["general.name"] == "a name"
    assert header.kv["bert.pooling_type"] == gguf.PoolingType.CLS
    assert header.kv["bert.normalize_embeddings"] is True
    assert header.kv["tokenizer.ggml.bos_token_id"] == 2
    assert read_arrays(tmp_path / "out.gguf")["tokenizer.ggml.tokens"][-4:] == ["▁cat", "s", "▁[x", "▁[]"]
    names = {tensor.name for tensor in header.tensors}
    assert "blk.0.ffn_up.weight" in names
    assert not any(name.startswith("cls") for name in names)


def test_a_model_that_ranks(tmp_path: Path) -> None:
    write_gguf(model(head=True), tmp_path / "out.gguf", "ranks")
    header = read_header(tmp_path / "out.gguf")
    assert header.kv["bert.pooling_type"] == gguf.PoolingType.RANK
    assert read_arrays(tmp_path / "out.gguf")["bert.classifier.output_labels"] == ["LABEL_0"]
    assert {"cls.weight", "cls.bias", "cls.output.weight", "cls.output.bias"} <= {one.name for one in header.tensors}


def test_without_a_word_about_pooling_it_is_the_mean(tmp_path: Path) -> None:
    found = read_checkpoint(folder_of(model(), tmp_path))
    assert (found.pooling, found.normalize, found.ranks) == (gguf.PoolingType.MEAN, None, False)


@pytest.mark.parametrize("pooling", [{}, {"pooling_mode_max_tokens": True}])
def test_a_pooling_that_the_engine_does_not_have(tmp_path: Path, pooling: dict[str, bool]) -> None:
    folder_of(model(), tmp_path, **{"1_Pooling__config": pooling})
    with pytest.raises(ValueError, match="asks for a pooling that cannot be written"):
        read_checkpoint(tmp_path)


def test_a_vocabulary_of_another_size(tmp_path: Path) -> None:
    short = model()
    with pytest.raises(ValueError, match="the vocabulary has 1 tokens, not 9"):
        write_gguf(Checkpoint(short.config, ["a"], short.tensors), tmp_path / "out.gguf", "x")
