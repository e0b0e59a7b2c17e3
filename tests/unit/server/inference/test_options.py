"""Defaults, then stored parameters, then the request."""

from typing import Any

import pytest

from modelstore.errors import OptionError
from modelstore.options import OPTIONS
from scheduler.frames import Sampling
from scheduler.requests import LoadOptions
from server.inference.options import Options, resolve

_EMPTY: dict[str, Any] = {"stop": (), "logit_bias": []}


def test_the_defaults_are_those_of_the_table_of_options() -> None:
    chosen = resolve({}, {})
    assert chosen == Options(LoadOptions(), Sampling())
    for name, option in OPTIONS.items():
        part = next(part for part in (chosen, chosen.load, chosen.sampling) if hasattr(part, name))
        assert getattr(part, name) == _EMPTY.get(name, option.default), name


def test_the_request_wins_key_by_key_and_stop_is_replaced() -> None:
    chosen = resolve(
        {"temperature": 0.1, "top_k": 3, "stop": ["a", "b"], "num_ctx": 100},
        {"temperature": 0.5, "stop": ["c"], "num_predict": 9},
    )
    assert (chosen.sampling.temperature, chosen.sampling.top_k) == (0.5, 3)
    assert (chosen.stop, chosen.num_predict, chosen.num_keep) == (("c",), 9, 4)
    assert chosen.load == LoadOptions(num_ctx=100)


def test_null_leaves_the_lower_layer() -> None:
    chosen = resolve({"seed": 3, "stop": ["x"]}, {"seed": None, "stop": None, "num_ctx": None})
    assert (chosen.sampling.seed, chosen.stop, chosen.load.num_ctx) == (3, ("x",), None)


@pytest.mark.parametrize(("asked", "used"), [(0, None), (-1, 4), (1, 4), (4, 4), (5, 5), (6.9, 6)])
def test_a_context_is_chosen_or_has_four_tokens(asked: float, used: int | None) -> None:
    assert resolve({"num_ctx": 2048}, {"num_ctx": asked}).load.num_ctx == used


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_ctx": "big"}, 'option "num_ctx" must be of type integer'),
        ({"temperature": True}, 'option "temperature" must be of type float32'),
        ({"stop": "x"}, 'option "stop" must be of type array'),
    ],
)
def test_a_wrong_type_is_refused_wherever_it_comes_from(options: dict[str, Any], text: str) -> None:
    for stored, requested in ((options, {}), ({}, options)):
        with pytest.raises(OptionError) as caught:
            resolve(stored, requested)
        assert str(caught.value) == text


def test_unknown_options_are_left_out() -> None:
    assert resolve({}, {"Temperature": 1, "low_vram": True}) == resolve({}, {})


def test_biases_are_for_ids_where_the_key_is_a_number_and_for_texts_otherwise() -> None:
    biases = {"42": -100, "007": 1, "yes": 2.5, "-1": 3, "1.5": 4, "٣": 5, "9" * 30: 6}
    assert resolve({}, {"logit_bias": biases}).sampling.logit_bias == [
        (42, -100.0), (7, 1.0), ("yes", 2.5), ("-1", 3.0), ("1.5", 4.0), ("٣", 5.0), ("9" * 30, 6.0),
    ]  # fmt: skip
