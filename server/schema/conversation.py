"""Messages and tools of the native API, read into the types of `server.messages`."""

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar, cast

from server.gojson.types import ANY, IMAGE, INT, STRING, Custom, ListOf, MapOf, Object
from server.gojson.walk import DecodeError, Decoder, Schema, Walk
from server.messages import Message, Parameters, Property, Tool, ToolCall

T = TypeVar("T")

_NOT_AN_OBJECT: Final = "Value looks like object, but can't find closing '}' symbol"


_DEEPEST: Final = 160
"""Values within each other, more than a model's calls can have; templates and renderers go down into all of them."""


class _Shallow(Generic[T]):
    """What `inner` decodes, unless it is too deep."""

    def __init__(self, inner: Decoder[T]) -> None:
        self._inner = inner
        self.go = inner.go
        self.takes_null = inner.takes_null

    def decode(self, value: Any, walk: Walk) -> T:
        if not _is_shallow(value):
            raise DecodeError(f"{'.'.join(walk.path)}: more than {_DEEPEST} values within each other")
        return self._inner.decode(value, walk)

    def zero(self) -> T:
        return self._inner.zero()

    def schema(self) -> Schema:
        return {"allOf": [self._inner]}


def _is_shallow(value: Any) -> bool:
    layer: list[Any] = [value]
    for _ in range(_DEEPEST):
        layer = [member for container in layer for member in _members(container)]
        if not layer:
            return True
    return False


def _members(container: Any) -> Iterable[Any]:
    if isinstance(container, dict):
        return cast("dict[str, Any]", container).values()
    return cast("list[Any]", container) if isinstance(container, list) else ()


class _FreeObject:
    """An object of any members in their order, as tool-call arguments are; null is an empty one."""

    go = "map[string]interface {}"
    takes_null = True

    def decode(self, value: Any, walk: Walk) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise DecodeError(_NOT_AN_OBJECT)
        return ANY.decode(value, walk)

    def zero(self) -> dict[str, Any]:
        return {}

    def schema(self) -> Schema:
        return {"type": "object"}


class _Properties:
    """The parameters of a tool by name, in their order."""

    go = "api.ToolPropertiesMap"
    takes_null = False

    def decode(self, value: Any, walk: Walk) -> dict[str, Property]:
        if not isinstance(value, dict):
            raise DecodeError(_NOT_AN_OBJECT)
        return MapOf(_PROPERTY).decode(value, walk)

    def zero(self) -> dict[str, Property]:
        return {}

    def schema(self) -> Schema:
        return {"allOf": [MapOf(_PROPERTY)]}


class _TypeNames:
    """A type, or a list of types."""

    go = "[]string"
    takes_null = False

    def decode(self, value: Any, walk: Walk) -> list[str]:
        return [value] if isinstance(value, str) else ListOf(STRING).decode(value, walk)

    def zero(self) -> list[str]:
        return []

    def schema(self) -> Schema:
        return {"anyOf": [STRING, ListOf(STRING)]}


_PROPERTY: Final = Object(
    "ToolProperty",
    Property,
    {
        "type": Custom(_TypeNames()),
        "items": ANY,
        "description": STRING,
        "enum": ListOf(ANY),
        "properties": Custom(_Properties()),
        "required": ListOf(STRING),
    },
)
_PROPERTY.add("anyOf", ListOf(_PROPERTY), "any_of")


class _Parameters:
    """The parameters of a tool; the schema is kept whole beside what templates see of it."""

    go = "api.ToolFunctionParameters"
    takes_null = False

    def decode(self, value: Any, walk: Walk) -> Parameters:
        parameters = _MEMBERS.decode(value, walk)
        if isinstance(value, dict):
            parameters.schema = ANY.decode(value, Walk())
        return parameters

    def zero(self) -> Parameters:
        return Parameters()

    def schema(self) -> Schema:
        return {"allOf": [_MEMBERS]}


_MEMBERS: Final = Object(
    "ToolFunctionParameters",
    Parameters,
    {
        "type": STRING,
        "$defs": ANY,
        "items": ANY,
        "required": ListOf(STRING),
        "properties": Custom(_Properties()),
    },
    names={"$defs": "defs"},
)


def _tool(type: str = "", items: Any = None, function: dict[str, Any] | None = None) -> Tool:
    return Tool(type=type, items=items, **(function or {}))


_TOOL: Final = Object(
    "Tool",
    _tool,
    {
        "type": STRING,
        "items": ANY,
        "function": Object(
            "ToolFunction", dict[str, Any], {"name": STRING, "description": STRING, "parameters": _Parameters()}
        ),
    },
)


def _tool_call(id: str = "", function: dict[str, Any] | None = None) -> ToolCall:
    return ToolCall(id=id, **(function or {}))


_TOOL_CALL: Final = Object(
    "ToolCall",
    _tool_call,
    {
        "id": STRING,
        "function": Object(
            "ToolCallFunction",
            dict[str, Any],
            {"index": INT, "name": STRING, "arguments": Custom(_FreeObject(), takes_null=True)},
        ),
    },
)


def _message(**members: Any) -> Message:
    message = Message(**members)
    message.role = message.role.lower()
    return message


MESSAGE: Final = Custom(
    Object(
        "Alias",
        _message,
        {
            "role": STRING,
            "content": STRING,
            "thinking": STRING,
            "images": ListOf(IMAGE),
            "tool_calls": ListOf(_TOOL_CALL),
            "tool_name": STRING,
            "tool_call_id": STRING,
        },
    )
)
MESSAGES: Final = _Shallow(ListOf(MESSAGE, go="[]api.Message"))
TOOLS: Final = _Shallow(ListOf(_TOOL, go="api.Tools"))
