"""Tools and arguments as JSON values for Jinja templates.

Members stand in the order of the native API (spec: type, items, function; type, $defs, items, required, properties; …),
properties in the order they were sent, objects of free shape sorted: what is left of them after the reference has read
and written them once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from server.messages import Parameters, Property, Tool

_INTEGRAL: Final = 1e21
"""Below it a double without fraction is written as an integer."""


def tools(given: Sequence[Tool]) -> list[dict[str, Any]]:
    """The list that templates see as `tools`."""
    return [_tool(tool) for tool in given]


def arguments(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A call's arguments in the order written; objects inside them sorted."""
    return None if given is None else {key: _free(value) for key, value in given.items()}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = _parameters(tool.parameters)
    items = {} if _is_empty(tool.items) else {"items": _free(tool.items)}
    return {"type": tool.type, **items, "function": function}


def _parameters(given: Parameters) -> dict[str, Any]:
    optional = {"$defs": _free(given.defs), "items": _free(given.items), "required": given.required}
    return {"type": given.type, **_without_empty(optional), "properties": _properties(given.properties)}


def _property(given: Property) -> dict[str, Any]:
    return _without_empty(
        {
            "anyOf": [_property(branch) for branch in given.any_of],
            "type": given.type[0] if len(given.type) == 1 else given.type,
            "items": _free(given.items),
            "description": given.description,
            "enum": _free(given.enum),
            "properties": _properties(given.properties),
            "required": given.required,
        }
    )


def _properties(given: Mapping[str, Property] | None) -> dict[str, Any] | None:
    return None if given is None else {name: _property(value) for name, value in given.items()}


def _without_empty(members: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if not _is_empty(value)}


def _is_empty(value: object) -> bool:
    return value is None or value == "" or value == []


def _free(value: object) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _INTEGRAL:
        return int(value)
    if isinstance(value, list):
        return [_free(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {key: _free(members[key]) for key in sorted(members)}
    return value
