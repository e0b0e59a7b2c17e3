"""What to do about a schema that the compiler refuses: leave out the keywords that it cannot enforce, and if that does
not help, find the place that is at fault.

`Probe` compiles a schema for itself and says what is wrong with it; an empty text means that all is well.
"""

import math
from collections.abc import Callable
from typing import Any, Final, cast

from scheduler.runner.constrain.schema.errors import Place, SchemaError, pointer
from scheduler.runner.constrain.schema.patterns import is_malformed
from scheduler.runner.constrain.schema.places import everywhere, parts

Probe = Callable[[Any], str]

_NUMBER: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_ATTEMPTS: Final = (
    (
        ("format",),
        ("minLength", "maxLength"),
        ("pattern",),
        ("format", "pattern"),
        ("pattern", "minLength", "maxLength"),
    ),
    (("multipleOf",), _NUMBER, ("multipleOf", *_NUMBER)),
)
"""For texts and for numbers: what to leave out, the first that helps."""
_MOST_PROBES: Final = 300


def relax(schema: Any, probe: Probe) -> set[str]:
    """Leave out what cannot be compiled, in place; the names of what was left out.

    Raises `SchemaError` for a pattern that is no regular expression.
    """
    ignored: set[str] = set()
    for place, members in list(everywhere(schema)):
        for attempts in _ATTEMPTS:
            ignored |= _relax_keywords(place, members, attempts, probe)
        ignored |= _relax_patterns(place, members, probe)
    return ignored


def _relax_keywords(
    place: Place, members: dict[str, Any], attempts: tuple[tuple[str, ...], ...], probe: Probe
) -> set[str]:
    group = {key: members[key] for key in {key for keys in attempts for key in keys} & members.keys()}
    if not group:
        return set()
    if attempts is _ATTEMPTS[1]:
        group["type"] = "integer" if members.get("type") == "integer" else "number"
    else:
        group["type"] = "string"
    if not probe(group):
        return set()
    if "pattern" in group and is_malformed(group["pattern"]):
        raise SchemaError((*place, "pattern"), f"{group['pattern']!r} is no regular expression")
    for keys in attempts:
        rest = {key: value for key, value in group.items() if key not in keys}
        if len(rest) < len(group) and not probe(rest):
            left_out = group.keys() - rest.keys()
            if _is_impossible(group):
                return set()
            for key in left_out:
                del members[key]
            return set(left_out)
    return set()


def _is_impossible(bounds: dict[str, Any]) -> bool:
    """Whether the bounds, which the compiler refuses, contradict each other: that is for the client to know."""
    if bounds["type"] == "string":
        return bounds.get("minLength", 0) > bounds.get("maxLength", math.inf)
    low = max((bounds[key] for key in ("minimum", "exclusiveMinimum") if key in bounds), default=None)
    high = min((bounds[key] for key in ("maximum", "exclusiveMaximum") if key in bounds), default=None)
    if low is None or high is None:
        return False
    return low > high or (bounds["type"] == "integer" and high - low < 1) or low == high


def _relax_patterns(place: Place, members: dict[str, Any], probe: Probe) -> set[str]:
    """The compiler wants patterns of names that exclude each other: the first one stays."""
    named = members.get("patternProperties")
    if not isinstance(named, dict):
        return set()
    patterns = cast("dict[str, Any]", named)
    for pattern in patterns:
        if probe({"type": "object", "patternProperties": {pattern: True}}) and is_malformed(pattern):
            raise SchemaError((*place, "patternProperties", pattern), "the name is no regular expression")
    if not probe({"type": "object", "patternProperties": dict.fromkeys(patterns, True)}):
        return set()
    kept: dict[str, Any] = {}
    for pattern, schema in patterns.items():
        if not probe({"type": "object", "patternProperties": dict.fromkeys([*kept, pattern], True)}):
            kept[pattern] = schema
    members["patternProperties"] = kept
    return {"patternProperties"}


def locate(schema: Any, probe: Probe, reason: str) -> SchemaError:
    """The fault of a schema that cannot be compiled, at the innermost place that cannot be compiled by itself."""
    root = _referring_to_definition(schema)
    place: Place = ()
    budget = _MOST_PROBES
    found = True
    while found and isinstance(schema, dict):
        found = False
        for steps, part in parts(cast("dict[str, Any]", schema)):
            budget -= 1
            if budget < 0:
                break
            if steps[0] in ("$defs", "definitions"):
                continue
            problem = probe({"$defs": {"root": root}, "$ref": "#/$defs/root" + pointer((*place, *steps))[1:]})
            if problem:
                place, schema, reason, found = (*place, *steps), part, problem, True
                break
    return SchemaError(place, reason)


def _referring_to_definition(value: Any) -> Any:
    """A copy for use as the definition `root`: references lead to it."""
    if isinstance(value, list):
        return [_referring_to_definition(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    members = {key: _referring_to_definition(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(reference := members.get("$ref"), str):
        members["$ref"] = "#/$defs/root" + reference[1:]
    return members
