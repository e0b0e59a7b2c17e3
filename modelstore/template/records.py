"""Messages, calls and tools as a template sees them, with the names and the order of fields that templates rely on."""

from dataclasses import dataclass, field
from typing import Any, Final

from modelstore.template.values import Member, Record, Textual, TypedList, TypedMap


class Strings(TypedList):
    go_type = "[]string"


class Images(TypedList):
    go_type = "[]api.ImageData"


class Calls(TypedList):
    go_type = "[]template.templateToolCall"


class Messages(TypedList):
    go_type = "[]*template.templateMessage"


class Enumeration(TypedList):
    go_type = "[]interface {}"


class PropertyList(TypedList):
    go_type = "[]template.templateProperty"


class Tools(TypedList, Textual):
    """Prints as JSON."""

    go_type = "template.templateTools"


class PropertyType(TypedList, Textual):
    """The types a property allows: printed and written as a bare name when there is one."""

    go_type = "api.PropertyType"

    def text(self) -> str:
        return self[0] if len(self) == 1 else f"[{' '.join(self)}]" if self else ""

    def plain(self) -> Any:
        return self[0] if len(self) == 1 else super().plain()


class Arguments(TypedMap):
    go_type = "template.templateArgs"

    def plain(self) -> Any:
        return self  # `{}` even where it is nil


class Properties(TypedMap):
    go_type = "template.templateProperties"

    def missing(self) -> Any:
        return Property()


# -- records -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class CallFunction(Record):
    """The function part of a call: `.Index .Name .Arguments`."""

    go_type = "template.templateToolCallFunction"
    members = (
        Member("Index", "index", "Index"),
        Member("Name", "name", "Name"),
        Member("Arguments", "arguments", "Arguments"),
    )
    index: int = 0
    name: str = ""
    arguments: Arguments = field(default_factory=lambda: Arguments(None))


@dataclass(slots=True)
class ToolCall(Record):
    go_type = "template.templateToolCall"
    members = (Member("ID", "id", "ID"), Member("Function", "function", "Function"))
    id: str = ""
    function: CallFunction = field(default_factory=CallFunction)


@dataclass(slots=True)
class Message(Record):
    go_type = "*template.templateMessage"
    pointer = True
    members = (
        Member("Role", "role", "Role"),
        Member("Content", "content", "Content"),
        Member("Thinking", "thinking", "Thinking"),
        Member("Images", "images", "Images"),
        Member("ToolCalls", "tool_calls", "ToolCalls"),
        Member("ToolName", "tool_name", "ToolName"),
        Member("ToolCallID", "tool_call_id", "ToolCallID"),
    )
    role: str = ""
    content: str = ""
    thinking: str = ""
    images: Images = field(default_factory=Images)
    tool_calls: Calls = field(default_factory=Calls)
    tool_name: str = ""
    tool_call_id: str = ""


_TYPESCRIPT: Final = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}


@dataclass(slots=True)
class Property(Record):
    """A parameter of a tool."""

    go_type = "api.ToolProperty"
    members = (
        Member("AnyOf", "any_of", "anyOf", True),
        Member("Type", "type", "type", True),
        Member("Items", "items", "items", True),
        Member("Description", "description", "description", True),
        Member("Enum", "enum", "enum", True),
        Member("Properties", "properties", "properties", True),
        Member("Required", "required", "required", True),
    )
    any_of: PropertyList = field(default_factory=PropertyList)
    type: PropertyType = field(default_factory=PropertyType)
    items: Any = None
    description: str = ""
    enum: Enumeration = field(default_factory=Enumeration)
    properties: Properties = field(default_factory=lambda: Properties(None))
    required: Strings = field(default_factory=Strings)

    def typescript(self) -> str:
        """The TypeScript type of its values."""
        if self.any_of:
            return " | ".join(branch.typescript() for branch in self.any_of)
        return " | ".join(_TYPESCRIPT.get(name, "any") for name in self.type) or "any"

    methods = {"ToTypeScriptType": typescript}


@dataclass(slots=True)
class Parameters(Record):
    """The object a tool takes."""

    go_type = "template.templateToolFunctionParameters"
    members = (
        Member("Type", "type", "type"),
        Member("Defs", "defs", "$defs", True),
        Member("Items", "items", "items", True),
        Member("Required", "required", "required", True),
        Member("Properties", "properties", "properties"),
    )
    type: str = ""
    defs: Any = None
    items: Any = None
    required: Strings = field(default_factory=Strings)
    properties: Properties = field(default_factory=lambda: Properties(None))


@dataclass(slots=True)
class ToolFunction(Record):
    go_type = "template.templateToolFunction"
    members = (
        Member("Name", "name", "name"),
        Member("Description", "description", "description"),
        Member("Parameters", "parameters", "parameters"),
    )
    name: str = ""
    description: str = ""
    parameters: Parameters = field(default_factory=Parameters)


@dataclass(slots=True)
class Tool(Record, Textual):
    """Prints as JSON."""

    go_type = "template.templateTool"
    members = (
        Member("Type", "type", "type"),
        Member("Items", "items", "items", True),
        Member("Function", "function", "function"),
    )
    type: str = ""
    items: Any = None
    function: ToolFunction = field(default_factory=ToolFunction)


RECORDS: Final = (CallFunction, ToolCall, Message, Property, Parameters, ToolFunction, Tool)
"""All of them."""
