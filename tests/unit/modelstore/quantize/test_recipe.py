"""What the engine is told for which weights."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.gguf import Header
from modelstore.quantize.recipe import is_kept, recipe_for
from modelstore.quantize.types import element_type
from tests.unit.modelstore.quantize import files

F32, F16 = 0, 1
WEIGHT = ("blk.0.attn_q.weight", (32, 4), F16)
SEEING = ("v.blk.0.attn_q.weight", (32, 4), F16)
HEARING = ("a.blk.0.w", (32, 4), F32)
BIAS = ("v.blk.0.bias", (32,), F32)


def first_match(patterns: tuple[tuple[str, int], ...], name: str) -> int | None:
    return next((kind for pattern, kind in patterns if re.search(pattern, name)), None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.gguf"


def test_a_plain_model_needs_no_exceptions(path: Path) -> None:
    recipe = recipe_for("Q4_K_M", [files.header(path, files.model("llama", WEIGHT))])
    assert (recipe.number, recipe.tensors, recipe.keys) == (15, (), ())


@pytest.mark.parametrize("target", ["Q4_K_M", "Q8_0", "IQ3_S"])
def test_parts_that_are_no_text_keep_their_type(path: Path, target: str) -> None:
    recipe = recipe_for(target, [files.header(path, files.model("llama", WEIGHT, SEEING, HEARING, BIAS))])
    kinds = [first_match(recipe.tensors, name) for name, _, _ in (WEIGHT, SEEING, HEARING, BIAS)]
    assert kinds == [None, F16, F32, None]


@pytest.mark.parametrize(("target", "number"), [("F32", 0), ("F16", 1), ("BF16", 32)])
def test_they_do_so_where_the_engine_itself_knows_no_exceptions(path: Path, target: str, number: int) -> None:
    recipe = recipe_for(target, [files.header(path, files.model("llama", WEIGHT, SEEING, HEARING))])
    kinds = [first_match(recipe.tensors, name) for name, _, _ in (WEIGHT, SEEING, HEARING)]
    assert kinds == [element_type(target), F16, F32]
    assert recipe.number == 7
    assert dict(recipe.keys) == {"general.file_type": number}


@pytest.mark.parametrize(
    ("architecture", "tensor", "kind"),
    [
        ("qwen35", "blk.7.nextn.eh_proj.weight", "Q8_0"),
        ("qwen35moe", "blk.7.nextn.eh_proj.weight", "Q8_0"),
        ("gemma3n", "per_layer_token_embd.weight", "F16"),
        ("deepseek2", "blk.3.attn_kv_a_mqa.weight", "Q8_0"),
        ("glm4", "token_embd.weight", "F16"),
        ("glmocr", "output.weight", "F16"),
    ],
)
def test_architectures_that_suffer_have_finer_tensors_in_mixtures_of_four_bits(
    path: Path, architecture: str, tensor: str, kind: str
) -> None:
    header = files.header(path, files.model(architecture, (tensor, (32, 4), F16)))
    for target in ("Q4_K_S", "Q4_K_M"):
        assert first_match(recipe_for(target, [header]).tensors, tensor) == element_type(kind)
        assert first_match(recipe_for(target, [header]).tensors, "blk.0.ffn_up.weight") is None
    assert recipe_for("Q5_K_M", [header]).tensors == ()


def test_files_with_wider_gaps_are_written_with_the_usual_ones(path: Path) -> None:
    header = files.header(path, files.model("llama", WEIGHT, general__alignment=64) + bytes(64))
    assert recipe_for("Q8_0", [header]).keys == (("general.alignment", 32),)


def test_all_shards_are_looked_at(tmp_path: Path) -> None:
    headers: list[Header] = [
        files.header(tmp_path / "1", files.model("llama", WEIGHT)),
        files.header(tmp_path / "2", files.model("llama", SEEING)),
    ]
    assert first_match(recipe_for("Q8_0", headers).tensors, SEEING[0]) == F16


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.text(max_size=20))
def test_a_pattern_finds_the_tensor_it_was_made_for_and_no_other(name: str, other: str) -> None:
    from modelstore.quantize.recipe import _escaped  # pyright: ignore[reportPrivateUsage]  # for any name

    pattern = f"^{_escaped(name)}$"
    assert re.search(pattern, name) or name.endswith("\n")
    if re.search(pattern, other):
        assert other in (name, name + "\n")


def test_names_are_told_apart_by_their_beginning() -> None:
    assert [is_kept(name) for name in ("v.a", "mm.0", "mtp.x", "s.w", "a.b", "output.weight", "vv.x")] == [
        True, True, True, True, True, False, False,
    ]  # fmt: skip
