"""The options of a model and of a request: their types, defaults and texts.

A value comes in one of two ways: as text behind `PARAMETER` in a Modelfile, or as JSON from a request or from the
parameters stored with a model. A float is a float32 everywhere (see `numbers.float32`).
"""

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from modelstore.errors import OptionError
from modelstore.numbers import FLOAT32_MAX, FLOAT32_OVERFLOW, double, float32, listed_number
from modelstore.quoting import quote

log = logging.getLogger(__name__)

Value: TypeAlias = int | float | bool | list[str] | dict[str, float]


class Kind(Enum):
    """Type of an option; the value is what error texts call it."""

    INT = "integer"
    FLOAT = "float32"
    BOOL = "boolean"
    STRINGS = "array"
    NUMBERS = "object"
    """Texts, and a float for each. JSON only: a Modelfile has no text for it."""


class Scope(Enum):
    """What an option belongs to."""

    LOAD = "load"
    """The loaded model: another value means loading it again."""
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table."""

    name: str
    kind: Kind
    default: Value | None
    """None where the daemon chooses."""
    scope: Scope
    help: str
    deprecated: bool = False
    """Unknown to the reference by now: a Modelfile's is ignored with a warning, a wrong type is no error."""


_TABLE: Final = (
    Option("num_ctx", Kind.INT, None, Scope.LOAD, "context of one sequence, in tokens; 0: chosen by the daemon"),
    Option("num_batch", Kind.INT, None, Scope.LOAD, "prompt tokens in one decode"),
    Option("num_gpu", Kind.INT, -1, Scope.LOAD, "layers on the GPU; -1: as many as fit, 0: none"),
    Option("main_gpu", Kind.INT, None, Scope.LOAD, "the only GPU to use, by its index"),
    Option("use_mmap", Kind.BOOL, None, Scope.LOAD, "map the weights into memory instead of reading them"),
    Option("use_mlock", Kind.BOOL, None, Scope.LOAD, "keep the weights from being swapped out", deprecated=True),
    Option("num_thread", Kind.INT, 0, Scope.LOAD, "threads; 0: chosen by the daemon"),
    Option("draft_num_predict", Kind.INT, None, Scope.LOAD, "most tokens guessed ahead; 0 or less: none"),
    Option("num_keep", Kind.INT, 4, Scope.REQUEST, "prompt tokens that a cut keeps; negative: all"),
    Option("seed", Kind.INT, -1, Scope.REQUEST, "-1: another one each time"),
    Option("num_predict", Kind.INT, -1, Scope.REQUEST, "most tokens to generate; negative: no limit"),
    Option("top_k", Kind.INT, 40, Scope.REQUEST, "sample among so many best tokens; 0 or less: among all"),
    Option("top_p", Kind.FLOAT, 0.9, Scope.REQUEST, "sample among the best tokens that reach this probability"),
    Option("min_p", Kind.FLOAT, 0.0, Scope.REQUEST, "drop tokens below this part of the best one's probability"),
    Option("typical_p", Kind.FLOAT, 1.0, Scope.REQUEST, "locally typical sampling; 1 switches it off"),
    Option("repeat_last_n", Kind.INT, 64, Scope.REQUEST, "tokens the penalties look back on; 0: off, -1: all"),
    Option("temperature", Kind.FLOAT, 0.8, Scope.REQUEST, "0: always the best token"),
    Option("repeat_penalty", Kind.FLOAT, 1.0, Scope.REQUEST, "divides the score of repeated tokens; 1: off"),
    Option("presence_penalty", Kind.FLOAT, 0.0, Scope.REQUEST, "taken off the score of a token that occurred"),
    Option("frequency_penalty", Kind.FLOAT, 0.0, Scope.REQUEST, "taken off the score for each occurrence"),
    Option("mirostat", Kind.INT, 0, Scope.REQUEST, "1 or 2: Mirostat sampling", deprecated=True),
    Option("mirostat_tau", Kind.FLOAT, 5.0, Scope.REQUEST, "surprise that Mirostat aims at", deprecated=True),
    Option("mirostat_eta", Kind.FLOAT, 0.1, Scope.REQUEST, "learning rate of Mirostat", deprecated=True),
    Option("logit_bias", Kind.NUMBERS, None, Scope.REQUEST, "added to the scores of tokens, by id or text"),
    Option("stop", Kind.STRINGS, None, Scope.REQUEST, "texts that end the answer"),
)
OPTIONS: Final[Mapping[str, Option]] = {option.name: option for option in _TABLE}
"""All options that have an effect, by name; the names are case-sensitive."""

_GONE: Final = frozenset({"penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only"})


def is_deprecated(name: str) -> bool:
    """Whether a Modelfile may still have the parameter, to no effect."""
    return name in _GONE or (name in OPTIONS and OPTIONS[name].deprecated)


# -- a Modelfile's text -----------------------------------------------------------------------------------------------

_INT: Final = re.compile(r"[+-]?[0-9]{1,40}")
_SHOWN_INT: Final = re.compile(r"-?[0-9](?:\.[0-9]{1,17})?e\+[0-9]{2}")
"""How a model's own listing shows an integer of seven digits and more."""
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL: Final = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INT64: Final = range(-(1 << 63), 1 << 63)


def parse_modelfile_value(name: str, text: str) -> Value:
    """The value behind `PARAMETER name`; a text for `stop` is a list of one.

    Raises `OptionError`, for a deprecated parameter too: ask `is_deprecated` first.
    """
    option = OPTIONS.get(name)
    if option is None or option.deprecated or option.kind is Kind.NUMBERS:
        raise OptionError(name, f"unknown parameter '{name}'")
    match option.kind:
        case Kind.INT:
            return _parse_int(name, text)
        case Kind.FLOAT:
            return _parse_float(name, text)
        case Kind.BOOL:
            if text in _TRUE or text in _FALSE:
                return text in _TRUE
            raise OptionError(name, f"invalid bool value [{text}]")
        case Kind.STRINGS:
            return [text]


def _parse_int(name: str, text: str) -> int:
    """Digits, or the form in which a shown Modelfile has them: what was printed has to be good for reading."""
    value = int(text) if _INT.fullmatch(text) else None
    if value is None and _SHOWN_INT.fullmatch(text) and (shown := Decimal(text)) == shown.to_integral_value():
        value = int(shown)
    if value is None or value not in _INT64:
        raise OptionError(name, f"invalid int value [{text}]")
    return value


def _parse_float(name: str, text: str) -> float:
    value = math.inf
    if _DECIMAL.fullmatch(text):
        value = float(text)
    elif _HEXADECIMAL.fullmatch(text):
        try:
            value = float.fromhex(text)
        except OverflowError:
            pass
    if abs(value) >= FLOAT32_OVERFLOW:
        raise OptionError(name, f"invalid float value [{text}]")
    return float32(value)


# -- JSON -------------------------------------------------------------------------------------------------------------


def check_json(options: Mapping[str, Any]) -> dict[str, Value]:
    """The options that were given, with their types. Null counts as not given; unknown ones are logged and dropped.

    Raises `OptionError` for a wrong type. Call it for the stored parameters first, then for those of the request.
    """
    checked: dict[str, Value] = {}
    for name, value in options.items():
        option = OPTIONS.get(name)
        if option is None:
            log.warning("invalid option provided: %s", name)
        elif value is not None:
            try:
                checked[name] = _CHECKS[option.kind](name, value)
            except OptionError as error:
                if not option.deprecated:
                    raise
                log.warning("ignored: %s", error)
    return checked


def _check_int(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise _wrong_type(name, Kind.INT)
    return math.trunc(min(max(value, _INT64.start), _INT64.stop - 1))


def _check_float(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise _wrong_type(name, Kind.FLOAT)
    # An integer can be too long for any float; clamped it is the same float32 as before.
    return float32(float(min(max(value, -FLOAT32_MAX), FLOAT32_MAX)))


def _check_bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(name, Kind.BOOL)
    return value


def _check_strings(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise _wrong_type(name, Kind.STRINGS)
    items = cast("list[Any]", value)
    if not all(isinstance(item, str) for item in items):
        raise OptionError(name, f"option {quote(name)} must be of an array of strings")
    return items


def _check_numbers(name: str, value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise _wrong_type(name, Kind.NUMBERS)
    items = cast("dict[str, Any]", value)
    return {key: _check_float(f"{name}.{key}", number) for key, number in items.items()}


def _wrong_type(name: str, kind: Kind) -> OptionError:
    return OptionError(name, f"option {quote(name)} must be of type {kind.value}")


_CHECKS: Final[dict[Kind, Callable[[str, Any], Value]]] = {
    Kind.INT: _check_int,
    Kind.FLOAT: _check_float,
    Kind.BOOL: _check_bool,
    Kind.STRINGS: _check_strings,
    Kind.NUMBERS: _check_numbers,
}


# -- for people -------------------------------------------------------------------------------------------------------


def format_parameters(parameters: Mapping[str, Any]) -> str:
    """The `parameters` of a shown model: a line for each value, by name, without a newline at the end."""
    return "\n".join(f"{name:<30} {_written(value)}" for name, value in _each(parameters))


def _each(parameters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in sorted(parameters):
        value = parameters[name]
        if isinstance(value, list):
            yield from ((name, item) for item in cast("list[Any]", value))
        else:
            yield name, value


def _written(value: Any) -> str:
    match value:
        case str():
            return quote(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return listed_number(double(value))
        case None:
            return "<nil>"
        case _:
            return str(value)
