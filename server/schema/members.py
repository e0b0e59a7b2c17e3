"""Members that several requests have in common, and that decode by rules of their own."""

from typing import Any, Final, Literal, TypeAlias

from scheduler.requests import FOREVER
from server.gojson import duration
from server.gojson.scan import Number
from server.gojson.types import ANY, STRING, MapOf
from server.gojson.walk import DecodeError, Schema, Walk, kind_of

Think: TypeAlias = bool | Literal["high", "medium", "low", "max"]

_LEVELS: Final = ("high", "medium", "low", "max")
_LEVELS_TEXT: Final = '"high", "medium", "low", "max", true, or false'
_GO_KINDS: Final = {"bool": "bool", "array": "[]interface {}", "object": "map[string]interface {}"}
_LONGEST_SECONDS: Final = duration.MAX_NANOSECONDS / 1e9


class _Think:
    """`think`: whether, and how hard."""

    go = "api.ThinkValue"
    takes_null = False

    def decode(self, value: Any, walk: Walk) -> Think:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str):
            raise DecodeError(f"think must be a boolean or string ({_LEVELS_TEXT})")
        for level in _LEVELS:
            if level == value:
                return level
        raise DecodeError(f"invalid think value: {duration.quote(value)} (must be {_LEVELS_TEXT})")

    def zero(self) -> Think:
        return False

    def schema(self) -> Schema:
        return {"enum": [True, False, *_LEVELS]}


class _KeepAlive:
    """`keep_alive`: seconds, or text in Go's notation; negative is for ever. Less than a nanosecond is nothing."""

    go = "api.Duration"
    takes_null = False

    def decode(self, value: Any, walk: Walk) -> float:
        if isinstance(value, str):
            try:
                seconds = duration.parse(value) / 1e9
            except duration.InvalidDuration as error:
                raise DecodeError(str(error)) from None
        elif isinstance(value, Number):
            seconds = float(value.text)
        elif type(value) in (int, float):
            seconds = float(value)
        else:
            raise DecodeError(f"Unsupported type: '{_GO_KINDS[kind_of(value)]}'")
        return int(seconds * 1e9) / 1e9 if 0 <= seconds < _LONGEST_SECONDS else FOREVER

    def zero(self) -> float:
        return 0.0

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": duration.PATTERN}]}


THINK: Final = _Think()
KEEP_ALIVE: Final = _KeepAlive()
OPTIONS: Final = MapOf(ANY)
STRINGS: Final = MapOf(STRING)
