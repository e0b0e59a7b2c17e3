"""What a header says of each layer."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelstore.gguf import read_header
from scheduler.estimate.anatomy import facts_of
from scheduler.requests import Block, ModelFacts
from tests.unit.modelstore import ggufbytes
from tests.unit.modelstore.ggufbytes import ARRAY, BOOL, I32, STRING, U32


def facts(tmp_path: Path, architecture: str, tensors: dict[str, int] | None = None, **kv: Any) -> ModelFacts:
    """Facts of a file with these keys (`__` for a dot, a list for an array) and F32 tensors of so many numbers."""
    keys: list[ggufbytes.Key] = [("general.architecture", STRING, architecture)]
    for name, value in kv.items():
        key = f"{architecture}.{name.replace('__', '.')}"
        if isinstance(value, list):
            flags = any(one is True or one is False for one in value)  # pyright: ignore[reportUnknownVariableType]
            keys.append((key, ARRAY, (BOOL if flags else I32, value)))
        else:
            keys.append((key, U32, value))
    entries: list[bytes] = []
    offset = 0
    for name, count in (tensors or {}).items():
        entries.append(ggufbytes.tensor(name, [count], 0, offset))
        offset += -(-count * 4 // 32) * 32
    path = tmp_path / "model.gguf"
    path.write_bytes(ggufbytes.gguf(keys, entries, offset))
    return facts_of(read_header(path))


HEADS: dict[str, Any] = {"embedding_length": 64, "attention__head_count": 4, "attention__head_count_kv": 2}


def stored(found: ModelFacts) -> list[tuple[int, int, int]]:
    return [(block.keys, block.values, block.window) for block in found.blocks]


def states(found: ModelFacts) -> list[int]:
    return [block.state for block in found.blocks]


def test_tensors_belong_to_the_input_to_a_block_or_to_the_output(tmp_path: Path) -> None:
    tensors = {"token_embd.weight": 80, "blk.0.attn_q.weight": 8, "blk.1.attn_q.weight": 16, "blk.1.ffn.weight": 8}
    found = facts(tmp_path, "llama", {**tensors, "output_norm.weight": 8}, block_count=2)
    assert [block.weights for block in found.blocks] == [32, 96]
    assert (found.input_bytes, found.output_bytes, found.shared_bytes) == (320, 32, 320)
    own = facts(tmp_path, "llama", {**tensors, "output.weight": 80}, block_count=2)
    assert (own.output_bytes, own.shared_bytes) == (320, 0)
    encoder = facts(tmp_path, "bert", tensors, block_count=2)
    assert encoder.shared_bytes == 0, "it has no output"


def test_head_sizes_follow_from_the_width_or_are_stated(tmp_path: Path) -> None:
    assert stored(facts(tmp_path, "llama", block_count=1, **HEADS)) == [(32, 32, 0)]
    sizes: dict[str, Any] = {"attention__key_length": 24, "attention__value_length": 8}
    assert stored(facts(tmp_path, "llama", block_count=1, **HEADS, **sizes)) == [(48, 16, 0)]


def test_heads_may_differ_from_layer_to_layer(tmp_path: Path) -> None:
    keys: dict[str, Any] = {**HEADS, "attention__head_count_kv": [2, 0, 4]}
    assert stored(facts(tmp_path, "deci", block_count=3, **keys)) == [(32, 32, 0), (0, 0, 0), (64, 64, 0)]


def test_compressed_attention_keeps_keys_only(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"attention__key_length": 576, "attention__value_length": 512, "attention__head_count_kv": 1}
    mla: dict[str, Any] = {"attention__key_length_mla": 192, "attention__value_length_mla": 128}
    heads: dict[str, Any] = {**HEADS, **keys}
    assert stored(facts(tmp_path, "deepseek2", block_count=1, **heads, **mla)) == [(576, 0, 0)]
    assert stored(facts(tmp_path, "deepseek2", block_count=1, **heads)) == [(576, 512, 0)], "as older files have it"


@pytest.mark.parametrize(
    ("architecture", "keys", "windows"),
    [
        ("gemma2", {"attention__sliding_window": 16}, [16, 0, 16, 0, 16, 0, 16, 0]),
        ("gemma2", {}, [4096, 0, 4096, 0, 4096, 0, 4096, 0]),
        ("gemma3", {"attention__sliding_window": 16}, [16, 16, 16, 16, 16, 0, 16, 16]),
        ("gemma3", {}, [0] * 8),
        ("gpt-oss", {"attention__sliding_window": 16}, [16, 0, 16, 0, 16, 0, 16, 0]),
        ("olmo2", {"attention__sliding_window": 16}, [16, 16, 16, 0, 16, 16, 16, 0]),
        (
            "olmo2",
            {"attention__sliding_window": 16, "attention__sliding_window_pattern": [True] * 3},
            [16] * 3 + [0] * 5,
        ),
        ("cohere2", {"attention__sliding_window": 16, "attention__sliding_window_pattern": 2}, [16, 0] * 4),
        ("smallthinker", {"attention__sliding_window": 16}, [0, 4096, 4096, 4096, 0, 4096, 4096, 4096]),
        ("llama4", {}, [8192, 8192, 8192, 0, 8192, 8192, 8192, 0]),
        ("exaone4", {"attention__sliding_window": 16}, [0] * 8),
        (
            "mimo2",
            {"attention__sliding_window": 16, "attention__sliding_window_pattern": [False, True] * 4},
            [0, 16] * 4,
        ),
        ("phi3", {"attention__sliding_window": 16}, [0] * 8),
        ("qwen2", {"attention__sliding_window": 16}, [0] * 8),
    ],
)
def test_windows_by_architecture(tmp_path: Path, architecture: str, keys: dict[str, Any], windows: list[int]) -> None:
    found = facts(tmp_path, architecture, block_count=8, **HEADS, **keys)
    assert [block.window for block in found.blocks] == windows


def test_layers_with_a_window_may_have_other_heads(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"attention__sliding_window": 16, "attention__sliding_window_pattern": [True, False]}
    sizes: dict[str, Any] = {"attention__key_length": 32, "attention__value_length": 32, "attention__key_length_swa": 8}
    found = facts(tmp_path, "gemma4", block_count=2, **HEADS, **keys, **sizes, attention__value_length_swa=8)
    assert stored(found) == [(16, 16, 16), (64, 64, 0)]


def test_layers_that_use_the_cache_of_others_have_none(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"attention__sliding_window": 16, "attention__sliding_window_pattern": [False] * 5}
    shared = facts(tmp_path, "gemma4", block_count=5, attention__shared_kv_layers=2, **HEADS, **keys)
    assert [block.keys for block in shared.blocks] == [32, 32, 32, 0, 0]
    small = facts(tmp_path, "gemma3n", block_count=30, attention__sliding_window=16, **HEADS)
    assert [bool(block.keys) for block in small.blocks] == [True] * 20 + [False] * 10


SSM: dict[str, Any] = {"ssm__conv_kernel": 4, "ssm__inner_size": 128, "ssm__state_size": 16, "ssm__group_count": 2}
SSM_STATE = 4 * (3 * (128 + 2 * 2 * 16) + 128 * 16)


@pytest.mark.parametrize(
    ("architecture", "keys", "expected"),
    [
        ("mamba2", SSM, [SSM_STATE] * 4),
        ("qwen3next", SSM, [SSM_STATE] * 3 + [0]),
        ("qwen35", {**SSM, "full_attention_interval": 2}, [SSM_STATE, 0] * 2),
        ("qwen3next", {**SSM, "attention__recurrent_layers": [True, False] * 2}, [SSM_STATE, 0] * 2),
        ("granitehybrid", {**SSM, "attention__head_count_kv": [0, 2, 0, 0]}, [SSM_STATE, 0, SSM_STATE, SSM_STATE]),
        ("jamba", {**SSM, "attention__head_count_kv": [0, 2, 0, 0]}, [SSM_STATE, 0, SSM_STATE, SSM_STATE]),
        ("lfm2", {"shortconv__l_cache": 3, "attention__head_count_kv": [0, 2, 0, 2]}, [4 * 2 * 64, 0] * 2),
        ("rwkv7", {"wkv__head_size": 16}, [4 * 64 * (2 + 16)] * 4),
        ("rwkv6qwen2", {"wkv__head_size": 16, "token_shift_count": 1}, [4 * 64 * (1 + 16)] * 4),
        ("kimi-linear", {"kda__head_dim": 8, "ssm__conv_kernel": 4, "attention__head_count_kv": [0, 2, 0, 0]},
         [4 * (3 * 3 * 32 + 8 * 8 * 4), 0, 4 * (3 * 3 * 32 + 8 * 8 * 4), 4 * (3 * 3 * 32 + 8 * 8 * 4)]),
        ("falcon-h1", SSM, [SSM_STATE] * 4),
        ("llama", SSM, [0] * 4),
    ],
)  # fmt: skip
def test_states_by_architecture(tmp_path: Path, architecture: str, keys: dict[str, Any], expected: list[int]) -> None:
    found = facts(tmp_path, architecture, block_count=4, **(HEADS | keys))
    assert states(found) == expected
    both = architecture == "falcon-h1"
    assert all(bool(block.keys) == (not block.state or both) for block in found.blocks)


def test_a_layer_may_have_neither_state_nor_cache(tmp_path: Path) -> None:
    """Nemotron's feed-forward stands alone in layers of its own."""
    keys: dict[str, Any] = {"attention__head_count_kv": [0, 2, 0], "feed_forward_length": [0, 0, 512]}
    found = facts(tmp_path, "nemotron_h", block_count=3, **(HEADS | SSM | keys))
    assert [(bool(block.state), bool(block.keys)) for block in found.blocks] == [
        (True, False),
        (False, True),
        (False, False),
    ]


def test_an_encoder_keeps_nothing(tmp_path: Path) -> None:
    assert stored(facts(tmp_path, "nomic-bert", block_count=2, **HEADS)) == [(0, 0, 0)] * 2


def test_layers_that_guess_ahead_are_not_loaded(tmp_path: Path) -> None:
    tensors = {"blk.0.a.weight": 8, "blk.1.a.weight": 8}
    found = facts(
        tmp_path, "qwen35", tensors, block_count=2, nextn_predict_layers=1, **HEADS, full_attention_interval=1
    )
    assert found.blocks == (Block(32, 32, 32, head=16), Block())


def test_no_credible_number_of_layers_makes_no_layers(tmp_path: Path) -> None:
    for count in (0, 513, 2**32 - 1):
        found = facts(tmp_path, "llama", block_count=count, **HEADS)
        assert (found.blocks, found.block_count) == ((), count)


def test_a_list_that_is_too_short_says_nothing_of_the_rest(tmp_path: Path) -> None:
    keys: dict[str, Any] = {**HEADS, "attention__head_count_kv": [2]}
    assert [block.keys for block in facts(tmp_path, "llama", block_count=3, **keys).blocks] == [32, 0, 0]


NUMBERS = st.one_of(st.integers(0, 2**32 - 1), st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5))
KEYS = (
    "attention__head_count",
    "attention__head_count_kv",
    "attention__key_length",
    "attention__sliding_window",
    "attention__sliding_window_pattern",
    "embedding_length",
    "expert_used_count",
    "feed_forward_length",
    "full_attention_interval",
    "nextn_predict_layers",
    "ssm__conv_kernel",
    "ssm__inner_size",
)


@settings(deadline=None)
@given(
    architecture=st.sampled_from(
        ["llama", "gemma3", "gemma4", "qwen35", "lfm2", "mamba", "deepseek2", "nemotron_h", "x"]
    ),
    count=st.integers(0, 20),
    kv=st.dictionaries(st.sampled_from(KEYS), NUMBERS),
)
def test_whatever_the_keys_say_there_are_layers_of_some_size(
    tmp_path_factory: pytest.TempPathFactory, architecture: str, count: int, kv: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = facts(folder, architecture, block_count=count, **kv)
    assert len(found.blocks) == count
    assert all(min(block.weights, block.keys, block.values, block.window, block.state) >= 0 for block in found.blocks)
