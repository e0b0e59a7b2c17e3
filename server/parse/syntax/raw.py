"""Arguments in elements of their own: texts as they are up to the closing mark, everything else as JSON."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from server.messages import Tool
from server.parse.kinds import ANYTHING, Schema, is_free, leaves
from server.parse.syntax.members import Member, any_order
from server.parse.syntax.rules import Rules, parameters_schema, property_schemas, quoted, required_names
from server.parse.syntax.scalars import number, once

ANY: Final = "(?s:.*)"
_NULL: Final = r"(\r?\n)?[nN][uU][lL][lL](\r?\n)?"
"""A text that is read as null."""
_NAME: Final = "/[A-Za-z_][A-Za-z0-9_.-]{0,63}/"
_BOOLEANS: Final = ('"true"', '"false"', '"True"', '"False"')


class RawValues:
    """Rules for values up to the end of their closing mark.

    `marks`: what no value may contain, the closing one first. `framed`: a line break at either end is no part of a
    value. `token`: the closing mark may be one control token.
    """

    def __init__(self, rules: Rules, marks: Sequence[str], *, framed: bool, token: bool = False) -> None:
        self._rules = rules
        self._marks = marks
        self._framed = framed
        self._frame = "FRAME?" if framed else ""
        self._closing = rules.mark(marks[0]) if token else quoted(marks[0])
        self._token = token
        if framed:
            rules.add("FRAME", r"/\n/")
        rules.add("FREE", f"/{ANY}/ & ~/{ANY}({'|'.join(map(escaped, marks))}){ANY}/")
        self._texts: dict[bool, str] = {}

    def value(self, schema: object) -> str:
        """Symbols for a value that conforms to the schema, and the mark that closes it."""
        given = leaves(schema, _root(schema))
        null = any(leaf.get("type") == "null" or None in leaf.get("enum", ()) for leaf in given)
        if any(not leaf or leaf.get("type") == "string" for leaf in given):
            return self._text(null=null or ANYTHING in given)
        forms = [form for leaf in given for form in self._forms(leaf, _root(schema))]
        if not forms:
            return self._text(null=True)
        return f"{self._frame} ({' | '.join(dict.fromkeys(forms))}) {self._frame} {self._closing}"

    def _text(self, *, null: bool) -> str:
        """Any text; one that is read as null only if it may be."""
        if null not in self._texts:
            name = "anything" if null else "text"
            free = "FREE" if null else self._rules.add("WORDS", f"FREE & ~/{_NULL}/")
            closed = self._rules.add(f"{free}_CLOSED", f"{free} {quoted(self._marks[0])}")
            # A text would swallow a mark that is no token: the two are one terminal then.
            forms = (closed, f"{free} {self._closing}") if self._token else (closed,)
            self._texts[null] = self._rules.add(name, *forms)
        return self._texts[null]

    def _forms(self, leaf: Schema, root: Schema) -> Iterator[str]:
        match leaf.get("type"):
            case None:
                yield from self._constants(leaf["enum"])
            case "boolean":
                yield from _BOOLEANS
            case "null":
                yield '"null"'
            case "integer" | "number":
                yield number(self._rules, leaf)
            case _:
                yield self._rules.json({**_definitions(root), **leaf})

    def _constants(self, values: Sequence[object]) -> Iterator[str]:
        for value in values:
            if not isinstance(value, str):
                yield self._rules.json({"enum": [value]})
            elif self._is_plain(value):
                yield quoted(value) or '""'

    def _is_plain(self, text: str) -> bool:
        """Whether it is read as it is written."""
        if re.fullmatch(_NULL, text) or (self._framed and text.strip("\n") != text):
            return False
        return not any(mark in text for mark in self._marks)


def parameters(
    rules: Rules, name: str, tool: Tool, values: RawValues, element: Callable[[str, str], str], behind: str = ""
) -> str:
    """Symbols for the elements of all arguments of a call.

    `element`: one, of the symbols of its name and of its value; `behind`: the symbols of what may follow each. Where a
    tool does not say what it takes, it may be anything; so may what it requires and does not declare.
    """
    if is_free(parameters_schema(tool)):
        once(rules, "NAME", _NAME)
        return f"({element('NAME', values.value(True))} {behind})*"
    required = required_names(tool)
    declared = dict.fromkeys(sorted(required), True) | property_schemas(tool)
    members: list[Member] = []
    for at, (key, schema) in enumerate(declared.items()):
        symbols = f"{element(quoted(key), values.value(schema))} {behind}"
        members.append(Member(rules.add(f"{name}_{at}", symbols), key in required))
    return any_order(rules, name, members)


def _root(schema: object) -> Schema:
    return schema if isinstance(schema, Mapping) else ANYTHING  # pyright: ignore[reportUnknownVariableType]


def _definitions(root: Schema) -> Schema:
    return {key: root[key] for key in ("$defs", "definitions") if key in root}


def escaped(text: str) -> str:
    """As part of a regular expression in Lark."""
    return re.escape(text).replace("/", r"\/")
