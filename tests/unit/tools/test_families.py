"""The maker of tiny models with special memories."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.models.families.checkpoints import read_safetensors, sentencepiece_pieces
from tools.models.families.draft import Draft
from tools.models.families.mamba import mamba

MODELS = Path(__file__).parents[2] / "models"


def test_the_recurrent_model_can_be_made_again(tmp_path: Path) -> None:
    """Its random weights are those of the file under tests/models."""
    mamba(Draft.read(MODELS / "tinychat-f16.gguf")).write(tmp_path / "mamba.gguf")
    assert (tmp_path / "mamba.gguf").read_bytes() == (MODELS / "families" / "mamba.gguf").read_bytes()


@pytest.mark.parametrize("name", ["gpt-oss", "qwen35", "deepseek3"])
def test_a_file_survives_reading_and_writing(tmp_path: Path, name: str) -> None:
    source = MODELS / "families" / f"{name}.gguf"
    Draft.read(source).write(tmp_path / "copy.gguf")
    assert (tmp_path / "copy.gguf").read_bytes() == source.read_bytes()


def test_a_renamed_architecture_takes_its_keys_along() -> None:
    draft = Draft("old")
    draft.put("block_count", 2)
    draft.set("oldest.key", 1)
    draft.rename_architecture("new")
    assert (draft.get("block_count"), sorted(draft.metadata)) == (2, ["new.block_count", "oldest.key"])


def test_vectors_keep_full_precision() -> None:
    draft = Draft("any")
    draft.add_weight("norm.weight", np.ones(4, np.float32))
    draft.add_weight("matrix.weight", np.ones((2, 2), np.float32))
    assert [data.dtype for data in draft.tensors.values()] == [np.float32, np.float16]
    assert {data.dtype for data in draft.promoted().tensors.values()} == {np.dtype(np.float32)}


def test_safetensors_in_brain_floats(tmp_path: Path) -> None:
    """A bfloat16 is the upper half of a float32."""
    values = np.array([[1.0, -2.5], [0.15625, 3.0]], np.float32)
    data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + data)
    assert np.array_equal(read_safetensors(tmp_path / "x")["x"], values)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=200), st.floats(width=32, allow_nan=False), st.integers(1, 6))))
def test_sentencepiece_pieces_are_read(pieces: list[tuple[str, float, int]]) -> None:
    def varint(value: int) -> bytes:
        data = b""
        while value > 127:
            data += bytes([value & 127 | 128])
            value >>= 7
        return data + bytes([value])

    def block(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2]) + varint(len(data)) + data

    model = b""
    for text, score, kind in pieces:
        body = block(1, text.encode()) + b"\x15" + np.float32(score).tobytes()
        model += block(1, body if kind == gguf.TokenType.NORMAL else body + b"\x18" + varint(kind))
    assert sentencepiece_pieces(model + block(2, b"trainer")) == pieces
