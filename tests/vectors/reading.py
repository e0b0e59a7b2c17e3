"""Recorded requests of the reference as the types that prompts are made from."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from server.messages import Message, Parameters, Property, Tool, ToolCall


def load(name: str) -> dict[str, Any]:
    """The content of a file beside this one."""
    return json.loads(gzip.decompress((Path(__file__).parent / name).read_bytes()))


def messages(given: list[dict[str, Any] | None] | None) -> list[Message]:
    return [_message(message or {}) for message in _list(given)]


def tools(given: list[dict[str, Any]] | None) -> list[Tool]:
    return [_tool(tool) for tool in _list(given)]


def _list(given: Any) -> list[Any]:
    return given or []


def _dict(given: Any) -> dict[str, Any]:
    return given or {}


def _message(given: dict[str, Any]) -> Message:
    return Message(
        role=(given.get("role") or "").lower(),
        content=given.get("content") or "",
        thinking=given.get("thinking") or "",
        images=[base64.b64decode(image) for image in _list(given.get("images"))],
        tool_calls=[_call(call) for call in _list(given.get("tool_calls"))],
        tool_name=given.get("tool_name") or "",
        tool_call_id=given.get("tool_call_id") or "",
    )


def _call(given: dict[str, Any]) -> ToolCall:
    function = _dict(given.get("function"))
    arguments = function.get("arguments", {})
    return ToolCall(function.get("name", ""), arguments, given.get("id", ""), function.get("index", 0))


def _tool(given: dict[str, Any]) -> Tool:
    function = _dict(given.get("function"))
    parameters = _dict(function.get("parameters"))
    return Tool(
        type=given.get("type", ""),
        items=given.get("items"),
        name=function.get("name", ""),
        description=function.get("description", ""),
        parameters=Parameters(
            type=parameters.get("type", ""),
            defs=parameters.get("$defs"),
            items=parameters.get("items"),
            required=_list(parameters.get("required")),
            properties=_properties(parameters.get("properties")),
        ),
    )


def _properties(given: dict[str, Any] | None) -> dict[str, Property] | None:
    return None if given is None else {name: _property(value) for name, value in given.items()}


def _property(given: dict[str, Any]) -> Property:
    kind: Any = given.get("type") or ()
    return Property(
        any_of=[_property(branch) for branch in _list(given.get("anyOf"))],
        type=[kind] if isinstance(kind, str) else list(kind),
        items=given.get("items"),
        description=given.get("description", ""),
        enum=_list(given.get("enum")),
        properties=_properties(given.get("properties")),
        required=_list(given.get("required")),
    )
