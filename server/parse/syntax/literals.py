"""Values in other notations than JSON: from a JSON Schema to rules for what conforms to it.

Enforced are types, enumerations, members of objects and which of them are required, items of arrays and how many there
are, bounds of numbers; alternatives and references are followed. Other keywords are not.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from server.parse.kinds import ANYTHING, Schema, as_list, as_schema, is_free, leaves
from server.parse.syntax.members import Member, any_order
from server.parse.syntax.rules import Rules
from server.parse.syntax.scalars import number, once

SEPARATOR: Final = "/, ?/"


_MOST: Final = 1000
"""Items that are worth counting."""


class Notation(ABC):
    """How a family writes values. All methods return symbols, and define what these need."""

    @abstractmethod
    def text(self, rules: Rules) -> str:
        """Any string."""

    @abstractmethod
    def quoted(self, rules: Rules, text: str) -> str:
        """This one; empty if it cannot be written."""

    @abstractmethod
    def key(self, rules: Rules, name: str) -> str:
        """The name of a member of an object, and the sign behind it."""

    @abstractmethod
    def any_key(self, rules: Rules) -> str:
        """The same for any name."""

    def parameter(self, rules: Rules, name: str) -> str:
        """The name of an argument of a call, and the sign behind it."""
        return self.key(rules, name)

    def any_parameter(self, rules: Rules) -> str:
        """The same for any name."""
        return self.any_key(rules)

    @abstractmethod
    def constant(self, value: bool | None) -> str:
        """A truth value or null; empty if it cannot be written."""


class Values:
    """Rules for the values of one tool. `root`: what references in schemas refer to; `prefix`: of the names."""

    def __init__(self, rules: Rules, notation: Notation, root: Schema, prefix: str) -> None:
        self._rules = rules
        self._notation = notation
        self._root = root
        self._prefix = prefix
        self._names: dict[str, str] = {}
        """Of rules, by the schema: one that contains itself becomes a rule that does."""

    def value(self, schema: object) -> str:
        """The name of the rule for what conforms to a schema."""
        text = json.dumps(schema)
        if text not in self._names:
            name = self._names[text] = f"{self._prefix}_{len(self._names)}"
            given = leaves(schema, self._root)
            forms = [ANYTHING] if ANYTHING in given else given
            written = [form for leaf in forms for form in self._forms(leaf, name)]
            self._rules.add(name, *(dict.fromkeys(written) or [self._anything()]))
        return self._names[text]

    def arguments(self) -> str:
        """Symbols for the arguments of a call."""
        write = self._notation.parameter, self._notation.any_parameter
        return self._members(self._root, f"{self._prefix}_arguments", *write)

    def _forms(self, leaf: Schema, name: str) -> Iterator[str]:
        match leaf.get("type"):
            case "string":
                yield self._notation.text(self._rules)
            case "integer" | "number":
                yield number(self._rules, leaf)
            case "boolean":
                yield from filter(None, map(self._notation.constant, (True, False)))
            case "null":
                yield from filter(None, [self._notation.constant(None)])
            case "array":
                yield self._list(leaf)
            case "object":
                yield f'"{{" {self._object(leaf, name)} "}}"'
            case _ if "enum" in leaf:
                yield from filter(None, map(self._literal, leaf["enum"]))
            case _:
                yield self._anything()

    def _list(self, leaf: Schema) -> str:
        item = self.value(leaf["items"] if isinstance(leaf.get("items"), Mapping) else True)
        separator = once(self._rules, "SEPARATOR", SEPARATOR)
        least, most = _count(leaf, "minItems") or 0, _count(leaf, "maxItems")
        if most == 0:
            return '"[" "]"'
        most = None if most is None or most < least else most - 1
        more = "" if most == 0 else f" ({separator} {item}){{{max(0, least - 1)},{'' if most is None else most}}}"
        some = f'"[" {item}{more} "]"'
        return some if least else f'"[" "]" | {some}'

    def _object(self, leaf: Schema, name: str) -> str:
        return self._members(leaf, f"{name}_members", self._notation.key, self._notation.any_key)

    def _members(
        self, schema: Schema, name: str, key: Callable[[Rules, str], str], any_key: Callable[[Rules], str]
    ) -> str:
        """Symbols for the members of an object. Where the schema does not say which there are, they may be any."""
        rules = self._rules
        separator = once(rules, "SEPARATOR", SEPARATOR)
        if is_free(schema):
            inner = self.value(schema.get("additionalProperties", True))
            member = rules.add(name, f"{any_key(rules)} {inner}")
            return f"({member} ({separator} {member})*)?"
        required = [member for member in as_list(schema.get("required")) if isinstance(member, str)]
        declared = dict.fromkeys(required, True) | dict(as_schema(schema.get("properties")))
        found = [
            Member(rules.add(f"{name}_{at}", f"{key(rules, member)} {self.value(inner)}"), member in required)
            for at, (member, inner) in enumerate(declared.items())
        ]
        return any_order(rules, name, found, separator)

    def _literal(self, value: object) -> str:
        """Symbols for this value; empty if it cannot be written."""
        match value:
            case None | bool():
                return self._notation.constant(value)
            case str():
                return self._notation.quoted(self._rules, value)
            case int() | float():
                return self._rules.json({"enum": [value]})
            case _:
                return self._anything()

    def _anything(self) -> str:
        return anything(self._rules, self._notation)


def anything(rules: Rules, notation: Notation) -> str:
    """The name of the rule for any value."""
    if not any(line.startswith("anything:") for line in rules.lines):
        constants: Sequence[bool | None] = (True, False, None)
        texts = filter(None, map(notation.constant, constants))
        separator = once(rules, "SEPARATOR", SEPARATOR)
        item = f"anything ({separator} anything)*"
        member = f"{notation.any_key(rules)} anything"
        rules.add(
            "anything",
            notation.text(rules),
            number(rules, {"type": "number"}),
            *texts,
            f'"[" ({item})? "]"',
            f'"{{" ({member} ({separator} {member})*)? "}}"',
        )
    return "anything"


def _count(leaf: Schema, key: str) -> int | None:
    value = leaf.get(key)
    return value if isinstance(value, int) and 0 <= value <= _MOST else None
