"""How a model is loaded and how its tokens are chosen: defaults, then stored parameters, then the request."""

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

    load = given(_LOAD)
    if not load.get("num_ctx"):
        load.pop("num_ctx", None)  # 0 is 'choose'
    elif load["num_ctx"] < _MINIMUM_CONTEXT:
        load["num_ctx"] = _MINIMUM_CONTEXT
    return Options(
        load=LoadOptions(**load),
        sampling=Sampling(**given(_SAMPLING)),
        stop=tuple(merged.get("stop", ())),
        **given(_PER_REQUEST),
    )
