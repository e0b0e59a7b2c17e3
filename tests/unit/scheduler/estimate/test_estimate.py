"""Estimates against what the engine has said of the same shapes (engine.json: `python -m tools.memory --record`)."""

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.estimate import EMBEDDING_SEQUENCES, LANE_ROWS, MOST_LANES, NARROW_ROWS, Estimate, estimate
from scheduler.requests import Block, ModelFacts
from scheduler.runner import loaded
from scheduler.runner.embedding import lanes
from tools.memory import hollow
from tools.memory.comparison import Setting, facts_in, foretell, judged
from tools.memory.engine import Sizes
from tools.memory.shapes import SHAPES

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "engine.json").read_text())
MIB = 1 << 20

LLAMA = ModelFacts(
    architecture="llama",
    blocks=(Block(weights=100, keys=1024, values=1024),) * 32,
    embedding_length=4096,
    head_count=32,
    query_length=4096,
    inner_length=14336,
    vocab_size=128256,
    input_bytes=30,
    output_bytes=40,
)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelFacts]:
    folder = tmp_path_factory.mktemp("hollow")

    @cache
    def read(name: str) -> ModelFacts:
        path = folder / f"{name}.gguf"
        hollow.write(SHAPES[name](), path)
        return facts_in(path)

    return read


@pytest.mark.parametrize("name", SHAPES)
def test_weights_cache_and_total_are_those_of_the_engine(name: str, facts: Callable[[str], ModelFacts]) -> None:
    """Within 5 % each, whatever the context, width, batch and type of cache; weights and cache within the rounding of
    the engine's log."""
    recorded = [one for one in RECORDED if one["shape"] == name]
    assert recorded
    for one in recorded:
        setting = Setting(**one["setting"])
        rows = judged(foretell(facts(name), setting), Sizes(**one["sizes"]))
        assert all(row.holds for row in rows if row.kind != "graph"), (str(setting), rows)
        assert all(abs(row.foretold - row.taken) < 32 << 10 for row in rows[:2]), (str(setting), rows)


# -- the cache ----------------------------------------------------------------------------------------------------


def sized(facts: ModelFacts = LLAMA, **changes: Any) -> Estimate:
    settings: dict[str, Any] = {"num_ctx": 4096, "parallel": 1, "num_batch": 512, "kv_type": "f16"}
    settings |= {"flash_attention": None, **changes}
    return estimate(facts, **settings)


def test_the_cache_holds_keys_and_values_of_every_block() -> None:
    plain = sized().kv
    assert plain == 32 * 4096 * 2048 * 2
    assert sized(num_ctx=4000).kv == plain, "cells come in multiples of 256"
    assert sized(parallel=4).kv == 4 * plain
    assert sized(kv_type="q8_0").kv * 32 == plain * 17
    assert sized(kv_type="q4_0").kv * 32 == plain * 9
    assert sized(kv_type="f32").kv == 2 * plain


def test_blocks_of_different_widths_count_with_their_own() -> None:
    mixed = dataclasses.replace(LLAMA, blocks=(Block(keys=100, values=50), Block(keys=10, values=200), Block()))
    assert sized(mixed).kv == 4096 * 2 * (150 + 210)
    assert sized(mixed, flash_attention=False).kv == 4096 * 2 * (300 + 210), "across, all values have the widest room"


def test_compressed_keys_have_no_values_beside_them() -> None:
    mla = dataclasses.replace(LLAMA, blocks=(Block(keys=576),))
    assert sized(mla).kv == sized(mla, flash_attention=False).kv == 4096 * 576 * 2


def test_a_window_has_the_cells_of_a_window_and_a_batch_in_steps_of_256() -> None:
    windowed = dataclasses.replace(LLAMA, blocks=(Block(keys=1, values=1, window=1000), Block(keys=1, values=1)))
    assert sized(windowed, num_ctx=32768, parallel=2).kv == 2 * 2 * 2 * (1536 + 32768)
    assert sized(windowed, num_ctx=512).kv == 2 * 2 * (512 + 512), "never more than the context"
    assert sized(windowed, num_ctx=32768, host=True).kv == 2 * 2 * (1280 + 32768), "128 rows on the processor"


def test_a_state_is_kept_for_each_sequence_whatever_the_context() -> None:
    recurrent = dataclasses.replace(LLAMA, blocks=(Block(weights=7, state=1000), Block(keys=1, values=1)))
    assert sized(recurrent, parallel=4).kv == 4 * (1000 + 4096 * 4)
    assert sized(recurrent, num_ctx=8192).kv == 1000 + 8192 * 4
    assert sized(recurrent, kv_type="q8_0").layers[0] == 7 + 1000, "states are not quantised"


def test_texts_of_an_embedding_model_share_the_cells() -> None:
    embedding = dataclasses.replace(LLAMA, embedding=True)
    assert sized(embedding, parallel=1).kv == sized().kv


# -- weights and layers -------------------------------------------------------------------------------------------


def test_weights_are_counted_tensor_by_tensor() -> None:
    sizes = sized()
    assert sizes.weights == 30 + 32 * 100 + 40
    assert sizes.layers == (*(100 + 4096 * 2048 * 2 for _ in range(32)), 40)


def test_a_shared_matrix_counts_once_on_the_host_and_twice_with_a_gpu() -> None:
    tied = sized(dataclasses.replace(LLAMA, shared_bytes=30))
    assert tied.weights == 30 + 32 * 100 + 40
    assert tied.layers[-1] == 70
    assert tied.on_gpu(33) + tied.on_host(33) == tied.total + 30


@given(st.integers(0, 33), st.integers(1, 3))
def test_what_is_not_on_gpus_is_on_the_host(layers: int, gpus: int) -> None:
    sizes = sized()
    together = sizes.on_gpu(layers, gpus) + sizes.on_host(layers)
    graphs = 1 if layers == 0 else gpus if layers == 33 else gpus + 1
    assert together == sizes.total + (graphs - 1) * sizes.graph


def test_a_header_without_figures_predicts_its_file() -> None:
    sizes = sized(ModelFacts(weights_bytes=7), parallel=4)
    assert (sizes.weights, sizes.kv, sizes.layers) == (7, 0, ())
    assert (sizes.on_gpu(1), sizes.on_host(1), sizes.on_host(0)) == (7, 0, 7)


def test_a_draft_model_counts_as_a_whole() -> None:
    small = dataclasses.replace(LLAMA, blocks=LLAMA.blocks[:2])
    sizes = sized(dataclasses.replace(LLAMA, drafter=small))
    assert sizes.draft == sized(small).total
    assert sizes.total == sized().total + sizes.draft


# -- the graph ----------------------------------------------------------------------------------------------------


def test_without_flash_attention_scores_take_memory() -> None:
    """Half a gigabyte of it at most, as the physical batch is cut for longer contexts."""
    plain = sized(num_ctx=8192, flash_attention=False).graph
    assert plain > 1.5 * sized(num_ctx=8192).graph
    assert plain == pytest.approx(sized(num_ctx=65536, flash_attention=False).graph, rel=0.1)


def test_a_larger_batch_takes_more() -> None:
    assert sized(num_batch=2048).graph == pytest.approx(4 * sized().graph, rel=0.05)
    assert sized(num_batch=2048, host=True).graph == sized(num_batch=512, host=True).graph, "128 rows at a time"


def test_an_encoder_computes_side_by_side_on_the_processor() -> None:
    encoder = dataclasses.replace(LLAMA, blocks=(Block(weights=1),) * 4, vocab_size=10, embedding=True)
    assert sized(encoder).kv == 0
    one, four = sized(encoder, host=True).graph, sized(encoder, host=True, threads=4).graph
    assert one < four <= 4 * one
    assert sized(encoder, threads=4).graph < one, "on a GPU it has one context"
    assert sized(encoder, host=True, threads=100).graph == sized(encoder, host=True, threads=MOST_LANES).graph


def test_the_runner_has_the_same_constants() -> None:
    assert (lanes.LANE_ROWS, lanes.MOST_LANES, lanes.TILED) == (LANE_ROWS, MOST_LANES, NARROW_ROWS)
    assert loaded.EMBEDDING_SEQUENCES == EMBEDDING_SEQUENCES


@given(
    blocks=st.integers(0, 80),
    num_ctx=st.integers(1, 300000),
    parallel=st.integers(1, 8),
    num_batch=st.integers(1, 4096),
    flash_attention=st.sampled_from([None, True, False]),
    host=st.booleans(),
)
def test_layers_and_their_sum_agree(blocks: int, **settings: Any) -> None:
    sizes = sized(dataclasses.replace(LLAMA, blocks=LLAMA.blocks[:1] * blocks), **settings)
    assert not sizes.layers or sum(sizes.layers) + 30 == sizes.weights + sizes.kv
    assert sizes.graph >= 0
