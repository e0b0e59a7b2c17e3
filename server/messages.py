"""The conversation as everything inside the server sees it, whichever dialect it came in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ToolCall:
    """A call that the model made (or is said to have made in an earlier turn)."""

    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    """In the order written."""
    id: str = ""
    index: int = 0


@dataclass(slots=True)
class Message:
    """One turn."""

    role: str = ""
    """Lower case; any word is passed on to the template."""
    content: str = ""
    thinking: str = ""
    images: list[bytes] = field(default_factory=list[bytes])
    """Encoded pictures or sounds, as sent."""
    tool_calls: list[ToolCall] = field(default_factory=list[ToolCall])
    tool_name: str = ""
    tool_call_id: str = ""


@dataclass(slots=True)
class Property:
    """A parameter of a tool, reduced to the JSON-Schema keywords that templates may use (native-api §6.2)."""

    any_of: list["Property"] = field(default_factory=list["Property"])
    type: list[str] = field(default_factory=list[str])
    """Written as a bare string when there is one."""
    items: Any = None
    description: str = ""
    enum: list[Any] = field(default_factory=list[Any])
    properties: dict[str, "Property"] | None = None
    required: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Parameters:
    """The object a tool takes."""

    type: str = ""
    defs: Any = None
    items: Any = None
    required: list[str] = field(default_factory=list[str])
    properties: dict[str, Property] | None = None
    schema: Mapping[str, Any] | None = field(default=None, compare=False)
    """All of it as it was sent, with the keywords that templates do not know of."""


@dataclass(slots=True)
class Tool:
    """A function that the model may call."""

    type: str = ""
    items: Any = None
    name: str = ""
    description: str = ""
    parameters: Parameters = field(default_factory=Parameters)
