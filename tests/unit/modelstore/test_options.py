"""Options: text of a Modelfile, JSON of a request, lines of show."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.errors import OptionError
from modelstore.options import OPTIONS, check_json, format_parameters, is_deprecated, parse_modelfile_value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num_ctx", "4096", 4096),
        ("seed", "-1", -1),
        ("top_k", "+10", 10),
        ("num_keep", "007", 7),
        ("temperature", "0.7", 0.7),
        ("temperature", "1", 1.0),
        ("top_p", ".5e-1", 0.05),
        ("min_p", "0x1p-2", 0.25),
        ("temperature", "0.123456789", 0.12345679),
        ("use_mmap", "T", True),
        ("use_mmap", "False", False),
        ("stop", "<|end|>", ["<|end|>"]),
        ("stop", "", [""]),
    ],
)
def test_modelfile_values(name: str, text: str, value: object) -> None:
    """Text becomes what the option holds; a float has the digits of a float32."""
    assert parse_modelfile_value(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("temperature", "abc", "invalid float value [abc]"),
        ("temperature", "", "invalid float value []"),
        ("temperature", "1e39", "invalid float value [1e39]"),
        ("temperature", "nan", "invalid float value [nan]"),
        ("temperature", "inf", "invalid float value [inf]"),
        ("temperature", "0x1p999999", "invalid float value [0x1p999999]"),
        ("temperature", "1_0", "invalid float value [1_0]"),
        ("num_ctx", "1.5", "invalid int value [1.5]"),
        ("num_ctx", "4096 # note", "invalid int value [4096 # note]"),
        ("num_ctx", "99999999999999999999", "invalid int value [99999999999999999999]"),
        ("num_ctx", "9" * 9999, f"invalid int value [{'9' * 9999}]"),
        ("num_ctx", "٣", "invalid int value [٣]"),
        ("use_mmap", "maybe", "invalid bool value [maybe]"),
        ("use_mmap", "tRUE", "invalid bool value [tRUE]"),
        ("num_gqa", "1", "unknown parameter 'num_gqa'"),
        ("Temperature", "1", "unknown parameter 'Temperature'"),
        ("tfs_z", "1", "unknown parameter 'tfs_z'"),
        ("logit_bias", '{"1": 2}', "unknown parameter 'logit_bias'"),
        ("", "1", "unknown parameter ''"),
    ],
)
def test_bad_modelfile_values(name: str, text: str, error: str) -> None:
    """The texts of the reference."""
    with pytest.raises(OptionError) as caught:
        parse_modelfile_value(name, text)
    assert (str(caught.value), caught.value.option) == (error, name)
    assert not is_deprecated(name)


def test_deprecated_parameters() -> None:
    """These words may stand in a Modelfile and do nothing."""
    gone = "penalize_newline low_vram f16_kv logits_all vocab_only use_mlock mirostat mirostat_tau mirostat_eta"
    assert all(is_deprecated(name) for name in gone.split())
    with pytest.raises(OptionError):
        parse_modelfile_value("mirostat", "1")


@pytest.mark.parametrize(
    ("given_", "checked"),
    [
        ({}, {}),
        ({"num_predict": 3.9, "seed": -1.5}, {"num_predict": 3, "seed": -1}),
        ({"temperature": 1, "top_p": 0.1}, {"temperature": 1.0, "top_p": 0.1}),
        ({"seed": None, "stop": None}, {}),
        ({"stop": []}, {"stop": []}),
        ({"stop": ["a", "b"], "use_mmap": False}, {"stop": ["a", "b"], "use_mmap": False}),
        ({"nonsense": 1, "Temperature": 5, "tfs_z": 1.0, "low_vram": True}, {}),
        ({"mirostat": 2, "mirostat_tau": 4.5}, {"mirostat": 2, "mirostat_tau": 4.5}),
        ({"use_mlock": True}, {"use_mlock": True}),
        ({"mirostat": "2"}, {}),
        ({"seed": 4294967295}, {"seed": 4294967295}),
        ({"logit_bias": {"5": -100, "yes": 0.1}}, {"logit_bias": {"5": -100.0, "yes": 0.1}}),
        ({"logit_bias": {}}, {"logit_bias": {}}),
        ({"seed": 1e30, "num_ctx": -(10**400)}, {"seed": 2**63 - 1, "num_ctx": -(2**63)}),
    ],
)
def test_json(given_: dict[str, Any], checked: dict[str, Any]) -> None:
    """Fractions are cut, nulls and unknown names dropped, everything else keeps its value."""
    assert check_json(given_) == checked
    assert all(type(value) is type(checked[name]) for name, value in check_json(given_).items())


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e300])
def test_float_out_of_range(value: float) -> None:
    """A float stays finite."""
    temperature = check_json({"temperature": value})["temperature"]
    assert isinstance(temperature, float)
    assert math.isfinite(temperature)


@pytest.mark.parametrize(
    ("given_", "error"),
    [
        ({"num_ctx": "1"}, 'option "num_ctx" must be of type integer'),
        ({"num_ctx": True}, 'option "num_ctx" must be of type integer'),
        ({"main_gpu": []}, 'option "main_gpu" must be of type integer'),
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"temperature": True}, 'option "temperature" must be of type float32'),
        ({"use_mmap": 1}, 'option "use_mmap" must be of type boolean'),
        ({"use_mmap": "true"}, 'option "use_mmap" must be of type boolean'),
        ({"stop": "END"}, 'option "stop" must be of type array'),
        ({"stop": {}}, 'option "stop" must be of type array'),
        ({"stop": ["a", 1]}, 'option "stop" must be of an array of strings'),
        ({"stop": [None]}, 'option "stop" must be of an array of strings'),
        ({"logit_bias": [[5, 1]]}, 'option "logit_bias" must be of type object'),
        ({"logit_bias": {"5": "1"}}, 'option "logit_bias.5" must be of type float32'),
        ({"logit_bias": {"5": None}}, 'option "logit_bias.5" must be of type float32'),
    ],
)
def test_bad_json(given_: dict[str, Any], error: str) -> None:
    """The texts of the reference."""
    with pytest.raises(OptionError) as caught:
        check_json(given_)
    assert str(caught.value) == error


@given(st.dictionaries(st.sampled_from([*OPTIONS, "x"]), st.none() | st.booleans() | st.floats() | st.integers()))
def test_any_json(options: dict[str, Any]) -> None:
    """The result holds only what the table allows, or the error is ours."""
    try:
        checked = check_json(options)
    except OptionError:
        return
    assert all(isinstance(value, int | float | list) and name in OPTIONS for name, value in checked.items())


def test_defaults_have_their_type() -> None:
    """A default would pass its own check."""
    defaults = {name: option.default for name, option in OPTIONS.items() if option.default is not None}
    assert check_json(defaults) == defaults


def test_lines() -> None:
    """A line for each value, sorted, texts quoted, numbers as the reference writes them."""
    parameters = {
        "temperature": 0.7, "num_ctx": 4096, "top_k": 1000000, "min_p": 1e-05, "stop": ["a", "b\n"], "seed": 42.0,
        "use_mmap": True, "odd": None, "num_batch": [],
    }  # fmt: skip
    assert format_parameters(parameters) == "\n".join([
        "min_p                          1e-05",
        "num_ctx                        4096",
        "odd                            <nil>",
        "seed                           42",
        'stop                           "a"',
        'stop                           "b\\n"',
        "temperature                    0.7",
        "top_k                          1e+06",
        "use_mmap                       true",
    ])  # fmt: skip
    assert format_parameters({}) == ""
