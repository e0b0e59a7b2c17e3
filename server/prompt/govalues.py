"""Messages and tools as the values a Go template works on."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from modelstore.template import records
from server.messages import Message, Parameters, Property, Tool, ToolCall

_EXACT: Final = 1 << 53
"""Integers beyond it are no longer exact as a double, so they stay integers."""


def messages(given: Sequence[Message]) -> records.Messages:
    """The list `.Messages`."""
    return records.Messages(map(_message, given))


def tools(given: Sequence[Tool]) -> records.Tools:
    """The list `.Tools`."""
    return records.Tools(map(_tool, given))


def _message(message: Message) -> records.Message:
    return records.Message(
        role=message.role,
        content=message.content,
        thinking=message.thinking,
        images=records.Images(message.images),
        tool_calls=records.Calls(map(_call, message.tool_calls)),
        tool_name=message.tool_name,
        tool_call_id=message.tool_call_id,
    )


def _call(call: ToolCall) -> records.ToolCall:
    arguments = records.Arguments(_free_map(call.arguments))
    return records.ToolCall(call.id, records.CallFunction(call.index, call.name, arguments))


def _tool(tool: Tool) -> records.Tool:
    function = records.ToolFunction(tool.name, tool.description, _parameters(tool.parameters))
    return records.Tool(tool.type, _free(tool.items), function)


def _parameters(parameters: Parameters) -> records.Parameters:
    return records.Parameters(
        type=parameters.type,
        defs=_free(parameters.defs),
        items=_free(parameters.items),
        required=records.Strings(parameters.required),
        properties=_properties(parameters.properties),
    )


def _properties(properties: Mapping[str, Property] | None) -> records.Properties:
    return records.Properties(None if properties is None else {k: _property(v) for k, v in properties.items()})


def _property(given: Property) -> records.Property:
    return records.Property(
        any_of=records.PropertyList(map(_property, given.any_of)),
        type=records.PropertyType(given.type),
        items=_free(given.items),
        description=given.description,
        enum=records.Enumeration(map(_free, given.enum)),
        properties=_properties(given.properties),
        required=records.Strings(given.required),
    )


def _free_map(members: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if members is None else {key: _free(value) for key, value in members.items()}


def _free(value: object) -> Any:
    """JSON of free shape, its numbers doubles as Go decodes them: 1000000 prints `1e+06`, as JSON `1000000`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) <= _EXACT else value
    if isinstance(value, list):
        return [_free(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {key: _free(item) for key, item in cast("dict[str, object]", value).items()}
    return value
