"""What a create request is refused for, and with which words."""

from pathlib import Path
from typing import Any

import pytest

from modelstore.create import check
from modelstore.create.quantization import require, require_draft
from modelstore.create.request import is_relative
from modelstore.errors import CreateError
from tests.unit.modelstore.shop import FILES, MINIMAL, Shop, request_of


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("a.gguf", True), ("a/b.gguf", True), ("..a", True), ("a..b/c", True),
        ("", False), (".", False), ("..", False), ("/a", False), ("a/", False), ("a//b", False), ("a/../b", False),
        ("./a", False), ("a\\b", False), ("C:a", False), ("c:/a", False), ("a\0b", False),
    ],
)  # fmt: skip
def test_names_of_files_stay_inside_a_folder(key: str, good: bool) -> None:
    assert is_relative(key) is good


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"files": {"/x": ""}}, "file path must be relative"),
        ({"files": {"x": ""}, "draft_quantize": "q8_0"}, "invalid digest format"),
        ({"draft_files": {"../x": "a"}}, "file path must be relative"),
        ({"draft_quantize": "q8_0", "adapters": {"x": ""}}, "--draft-quantize requires a DRAFT model"),
        ({"adapters": {"x": ""}, "model": "a b"}, "invalid digest format"),
        ({"model": "a b"}, "invalid model name"),
    ],
)
def test_checks_come_in_their_order(body: dict[str, Any], words: str) -> None:
    with pytest.raises(CreateError) as caught:
        check(request_of({"model": "fine", **body}))
    assert (str(caught.value), caught.value.status) == (words, 400)


@pytest.mark.parametrize("base", ["a b", "x:cloud:local", " ", "a/b/c/d"])
def test_a_bad_base_name_is_an_invalid_model_name(shop: Shop, base: str) -> None:
    assert shop.refused("m", **{"from": base}) == ("invalid model name", 400)


def test_a_missing_blob_is_named_without_its_path(shop: Shop) -> None:
    digest = f"sha256:{'0' * 64}"
    assert shop.refused("m", files={"x.gguf": digest}) == (f'blob "{digest}" not found', 400)
    assert shop.events == ["parsing GGUF"]


@pytest.mark.parametrize("length", [8, 24, 40, 100, 200])
def test_a_damaged_file_is_refused_and_nothing_is_made_of_it(shop: Shop, length: int) -> None:
    digest = shop.upload(FILES["bare.gguf"][:length])
    before = shop.contents()
    words, status = shop.refused("m", files={"x.gguf": digest})
    assert words.startswith('"x.gguf" cannot be used: ')
    assert status == 400
    assert shop.contents() == before


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"model_family": 1}, 'info field "model_family" must be a string'),
        ({"parameter_size": []}, 'info field "parameter_size" must be a string'),
        ({"context_length": "x"}, 'info field "context_length" must be a number'),
        ({"context_length": True}, 'info field "context_length" must be a number'),
        ({"embedding_length": 1.5}, 'info field "embedding_length" must be a non-negative integer'),
        ({"embedding_length": float("inf")}, 'info field "embedding_length" must be a non-negative integer'),
        ({"capabilities": "x"}, 'info field "capabilities" must be a list of strings'),
        ({"capabilities": ["x", 1]}, 'info field "capabilities" must be a list of strings'),
    ],
)
def test_info_of_the_wrong_type_is_refused(shop: Shop, info: dict[str, Any], words: str) -> None:
    shop.create("base", files={"b.gguf": shop.upload(MINIMAL)})
    assert shop.refused("m", **{"from": "base", "info": info}) == (words, 400)


def test_safetensors_are_refused_clearly(shop: Shop) -> None:
    digest = shop.upload(b"x")
    words = ("converting safetensors is not available in this version", 501)
    assert shop.refused("m", files={"model.safetensors": digest, "config.json": digest}) == words
    shop.create("base", files={"b.gguf": shop.upload(MINIMAL)})
    adapters = {"adapter_model.safetensors": digest, "adapter_config.json": digest}
    assert shop.refused("m", **{"from": "base", "adapters": adapters}) == words


# -- quantization -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "source", "words", "status"),
    [
        ("q9_9", "F16", "unsupported quantization type Q9_9 - supported types are F32, F16, BF16, Q8_0, ", 500),
        ("iq2_xxs", "F16", "quantization type IQ2_XXS needs an importance matrix and is not supported", 500),
        ("q4_K_M", "Q8_0", "quantization is only supported for F16, BF16 and F32 models", 500),
    ],
)
def test_quantization_is_refused_for_the_reason_that_holds(asked: str, source: str, words: str, status: int) -> None:
    with pytest.raises(CreateError) as caught:
        require(asked, source)
    assert str(caught.value).startswith(words)
    assert caught.value.status == status


def test_asking_for_the_type_that_is_there_changes_nothing() -> None:
    require("f16", "F16")
    require_draft("BF16", "BF16")


def test_a_quantised_draft_is_named() -> None:
    with pytest.raises(CreateError, match="draft quantization requires an unquantized draft model, got Q8_0"):
        require_draft("q4_0", "Q8_0")
