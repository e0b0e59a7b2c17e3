"""What a template works on: plain values, and records that know their Go fields.

Plain values are str, bool, int, float, None, bytes, list and dict. Beside them stand records (fixed fields, one that is
unknown is an error), typed lists and maps (an empty one may be nil, which JSON shows as `null`), and values with a text
form of their own, printed by `{{ . }}`. Names and order of fields are those that the library's templates use.

`Void.VALUE` is what is left of a nil once it went through a pipeline: no value at all, printed `<no value>`.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final, NamedTuple, cast

from modelstore import canonical


class Void(Enum):
    """The absence of a value; nothing else is equal to it."""

    VALUE = "<no value>"


class TypedList(list[Any]):
    """A slice of one Go type. An empty one is nil: in JSON `null`."""

    go_type: ClassVar[str] = "[]string"

    def __init__(self, items: Iterable[Any] | None = ()) -> None:
        super().__init__(items or ())


class Strings(TypedList): ...


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


class Tools(TypedList):
    """Prints as JSON."""

    go_type = "template.templateTools"

    def text(self) -> str:
        return to_json(self)


class PropertyType(TypedList):
    """The types a property allows: printed and written as a bare name when there is one."""

    go_type = "api.PropertyType"

    def text(self) -> str:
        return self[0] if len(self) == 1 else f"[{' '.join(self)}]" if self else ""


class TypedMap(dict[str, Any]):
    """A map of one Go type that prints as JSON; `{}` where it is nil."""

    go_type: ClassVar[str] = "template.templateArgs"

    def __init__(self, items: Mapping[str, Any] | None) -> None:
        super().__init__(items or {})
        self.is_nil = items is None

    def text(self) -> str:
        return "{}" if self.is_nil else to_json(self)

    def missing(self) -> Any:
        """The zero value of an element."""
        return None


class Arguments(TypedMap): ...


class Properties(TypedMap):
    go_type = "template.templateProperties"

    def missing(self) -> Any:
        return Property()


# -- records ----------------------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """One field of a record, by its Go name, its attribute here and its key in JSON."""

    go: str
    attribute: str
    key: str
    omit_empty: bool = False


class Record:
    """A Go struct."""

    go_type: ClassVar[str]
    members: ClassVar[tuple[Member, ...]]
    methods: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    def fields(self) -> list[tuple[str, Any]]:
        """Go names and values in declared order."""
        return [(member.go, getattr(self, member.attribute)) for member in self.members]

    def get(self, name: str) -> Any:
        """A field's value. Raises `KeyError` for a name it has not."""
        for member in self.members:
            if member.go == name:
                return getattr(self, member.attribute)
        raise KeyError(name)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class ToolCall(Record):
    go_type = "template.templateToolCall"
    members = (Member("ID", "id", "ID"), Member("Function", "function", "Function"))
    id: str = ""
    function: CallFunction = field(default_factory=CallFunction)


@dataclass(frozen=True)
class Message(Record):
    go_type = "*template.templateMessage"
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Tool(Record):
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

    def text(self) -> str:
        return to_json(self)


# -- what can be said of any value ------------------------------------------------------------------------------------


def text_form(value: object) -> str | None:
    """The text a value gives itself; None where it has none."""
    return value.text() if isinstance(value, Tool | Tools | PropertyType | TypedMap) else None


def go_type(value: object) -> str:
    """The type's name, as error messages have it."""
    if isinstance(value, TypedList | TypedMap | Record):
        return value.go_type
    return _PLAIN_TYPES.get(type(value), "interface {}")


_PLAIN_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    bool: "bool",
    int: "int",
    float: "float64",
    bytes: "api.ImageData",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


def is_true(value: object) -> bool:
    """Whether `if` takes it for true: everything but zero, empty and nil."""
    return isinstance(value, Record) or (value is not Void.VALUE and bool(value))


def is_nil(value: object) -> bool:
    """Whether it equals `nil`."""
    if isinstance(value, TypedMap):
        return value.is_nil
    return value is None or value is Void.VALUE or (isinstance(value, TypedList) and not value)


def to_json(value: object) -> str:
    """Compact JSON as Go encodes it: records in declared order, maps sorted. Raises `ValueError` for NaN."""
    return canonical.encode(_json_form(value)).decode()


def _json_form(value: object) -> Any:
    if isinstance(value, Record):
        members = ((member, getattr(value, member.attribute)) for member in value.members)
        return {m.key: _json_form(item) for m, item in members if not (m.omit_empty and _is_empty(item))}
    if isinstance(value, PropertyType) and len(value) == 1:
        return value[0]
    if isinstance(value, Arguments) and value.is_nil:
        return {}
    if is_nil(value):
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [_json_form(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        return {key: _json_form(items[key]) for key in sorted(items)}
    return value


def _is_empty(value: object) -> bool:
    """What `omitempty` drops; numbers and records are none of the members here."""
    return value is None or value == "" or (isinstance(value, list | TypedMap) and not value)
