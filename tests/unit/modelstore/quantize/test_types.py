"""The names of types that a request may use."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.ggml import file_type_name
from modelstore.quantize.errors import UnsupportedType
from modelstore.quantize.types import ALIASES, NEED_IMATRIX, SUPPORTED, element_type, file_type, target_type


@pytest.mark.parametrize("name", SUPPORTED)
def test_every_type_is_found_in_any_case_and_has_the_number_of_the_format(name: str) -> None:
    assert target_type(name.lower()) == target_type(name) == target_type(name.title()) == name
    assert file_type_name(file_type(name)) == (name if name != "F32" else "unknown")


@pytest.mark.parametrize(("asked", "name"), ALIASES.items())
def test_short_names_stand_for_the_middle_of_their_kind(asked: str, name: str) -> None:
    assert target_type(asked.lower()) == name
    assert name in SUPPORTED


@pytest.mark.parametrize("name", sorted(NEED_IMATRIX))
def test_what_needs_an_importance_matrix_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedType, match=f"^quantization type {name} needs an importance matrix") as caught:
        target_type(name.lower())
    assert (caught.value.name, caught.value.status) == (name, 500)


@given(st.text())
def test_any_other_name_is_refused_with_the_list(text: str) -> None:
    if text.upper() in {*SUPPORTED, *ALIASES, *NEED_IMATRIX}:
        return
    with pytest.raises(UnsupportedType) as caught:
        target_type(text)
    assert str(caught.value) == (
        f"unsupported quantization type {text.upper()} - supported types are F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q5_1, "
        "Q5_K_S, Q5_K_M, Q4_0, Q4_1, Q4_K_S, Q4_K_M, Q3_K_S, Q3_K_M, Q3_K_L, Q2_K, IQ4_NL, IQ4_XS, IQ3_S, IQ3_M"
    )


def test_elements_have_the_numbers_of_ggml() -> None:
    assert [element_type(name) for name in ("F32", "F16", "BF16", "Q8_0")] == [0, 1, 30, 8]


def test_the_page_about_it_names_every_type() -> None:
    page = (Path(__file__).parents[4] / "docs" / "quantization.md").read_text()
    table = [row.split("|")[1] for row in page.splitlines() if row.startswith("| `")]
    assert sorted(name for row in table for name in row.replace("`", "").split()) == sorted(SUPPORTED)
