"""A grammar of tool calls, in a form that does not depend on the vocabulary it will be used with.

Lark, as llguidance reads it, with two kinds of names that the runner resolves: a mark is a text that some vocabularies
have a control token for, a JSON rule is whatever a JSON Schema admits.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from server.messages import Tool

ANY_OBJECT: Final[Mapping[str, Any]] = {"type": "object"}


@dataclass(slots=True)
class Rules:
    """A grammar in the making. When it is done it has the rules `calls` and `rest` (see `CallSyntax`)."""

    lines: list[str] = field(default_factory=list[str])
    marks: list[str] = field(default_factory=list[str])
    """Texts: rule `mark_<index>`."""
    schemas: list[str] = field(default_factory=list[str])
    """JSON Schemas: rule `json_<index>`."""

    @property
    def text(self) -> str:
        """The rules so far."""
        return "\n".join(self.lines)

    def add(self, name: str, *alternatives: str) -> str:
        """Define a rule (lower case) or a terminal (upper case); returns its name."""
        self.lines.append(f"{name}: {' | '.join(alternatives)}")
        return name

    def mark(self, text: str) -> str:
        """The name of the rule for a text that may be one control token."""
        if text not in self.marks:
            self.marks.append(text)
        return f"mark_{self.marks.index(text)}"

    def json(self, schema: Mapping[str, Any] | bool) -> str:
        """The name of the rule for JSON that conforms to the schema."""
        text = json.dumps(schema, ensure_ascii=False)
        if text not in self.schemas:
            self.schemas.append(text)
        return f"json_{self.schemas.index(text)}"


def quoted(text: str) -> str:
    """The text as a Lark literal; nothing for an empty one."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f") if text else ""


def parameters_schema(tool: Tool) -> Mapping[str, Any]:
    """What the arguments of a tool must conform to: an object, whatever else was declared."""
    given = tool.parameters.schema
    if not given:
        return ANY_OBJECT
    return {**given, "type": "object"} if given.get("type") != "object" else given


def property_schemas(tool: Tool) -> dict[str, Mapping[str, Any] | bool]:
    """The schemas of single parameters in the order declared, each complete with the definitions it may refer to."""
    given = parameters_schema(tool)
    shared = {key: given[key] for key in ("$defs", "definitions") if isinstance(given.get(key), dict)}
    properties: object = given.get("properties")
    if not isinstance(properties, dict):
        return {}
    declared = cast("dict[str, object]", properties)
    return {name: {**shared, **schema} if isinstance(schema, dict) else True for name, schema in declared.items()}


def required_names(tool: Tool) -> frozenset[str]:
    """The parameters that a call must have."""
    given: object = parameters_schema(tool).get("required")
    names = cast("Sequence[object]", given) if isinstance(given, list) else ()
    return frozenset(name for name in names if isinstance(name, str))
