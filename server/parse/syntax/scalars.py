"""Numbers, which are written alike in all notations."""

from typing import Final

from server.parse.kinds import Schema
from server.parse.syntax.rules import Rules

_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_WHOLE: Final = "-?(0|[1-9][0-9]{0,17})"
"""What 64 bits hold for certain."""
_EXPONENT: Final = "[eE][+-]?([0-9]{1,2}|1[0-9]{2}|2[0-7][0-9])"
"""Together with 21 digits in front of it never beyond all doubles."""
_PATTERNS: Final = {
    "integer": f"/{_WHOLE}/",
    "number": rf"/-?(0|[1-9][0-9]{{0,20}})(\.[0-9]{{1,20}})?({_EXPONENT})?/",
}


def number(rules: Rules, leaf: Schema) -> str:
    """The name of the rule for numbers of a schema of the type `integer` or `number`."""
    kind: str = leaf["type"]
    if bounds := {key: leaf[key] for key in _BOUNDS if key in leaf}:
        return rules.json({"type": kind, **bounds})
    return once(rules, kind.upper(), _PATTERNS[kind])


def once(rules: Rules, name: str, *alternatives: str) -> str:
    """Define a rule unless it is there; returns its name."""
    if not any(line.startswith(f"{name}:") for line in rules.lines):
        rules.add(name, *alternatives)
    return name
