"""How a model is loaded and how its tokens are chosen: defaults, then stored parameters, then the request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelstore.options import check_json
from scheduler.frames import Sampling
from scheduler.requests import LoadOptions

_SAMPLING: Final = frozenset(Sampling.__struct_fields__)
_LOAD: Final = frozenset(LoadOptions.__slots__)
_PER_REQUEST: Final = frozenset({"num_predict", "num_keep"})
_MINIMUM_CONTEXT: Final = 4
_ID: Final = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Options:
    """The options in force for one request."""

    load: LoadOptions
    sampling: Sampling
    num_predict: int = -1
    num_keep: int = 4
    stop: tuple[str, ...] = ()


def resolve(stored: Mapping[str, Any], requested: Mapping[str, Any]) -> Options:
    """Merge, later wins by key. Raises `OptionError` for a value of the wrong type, stored or requested."""
    merged: dict[str, Any] = {**check_json(stored), **check_json(requested)}

    def given(names: frozenset[str]) -> dict[str, Any]:
        return {key: value for key, value in merged.items() if key in names}

    sampling = given(_SAMPLING)
    if biases := sampling.get("logit_bias"):
        sampling["logit_bias"] = _biases(biases)
    load = given(_LOAD)
    if not load.get("num_ctx"):
        load.pop("num_ctx", None)  # 0 is 'choose'
    elif load["num_ctx"] < _MINIMUM_CONTEXT:
        load["num_ctx"] = _MINIMUM_CONTEXT
    return Options(
        load=LoadOptions(**load),
        sampling=Sampling(**sampling),
        stop=tuple(merged.get("stop", ())),
        **given(_PER_REQUEST),
    )


def _biases(given: Mapping[str, float]) -> list[tuple[int | str, float]]:
    """A number stands for the token with this id, everything else for a token's text."""
    return [(int(key) if _ID.fullmatch(key) else key, bias) for key, bias in given.items()]
