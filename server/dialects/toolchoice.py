"""Which tools an answer may or must call, in the forms that clients write it."""

from collections.abc import Sequence
from typing import Any, Final, cast

from server.errors import ApiError
from server.inference.request import Named, ToolChoice
from server.messages import Tool

_WORDS: Final[dict[str, ToolChoice]] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
"""`any` is what Anthropic and Mistral call it."""


def tool_choice(given: Any, tools: Sequence[Tool]) -> ToolChoice:
    """A word, or an object that names a function as OpenAI's clients send it; absent is `auto`.

    Raises `ApiError` 400 for anything else, and for a choice that the tools do not offer.
    """
    if given is None:
        return "auto"
    choice = _WORDS.get(given) if isinstance(given, str) else _named(given)
    if choice is None:
        raise ApiError(
            400,
            'invalid tool_choice (must be "auto", "none", "required", or '
            '{"type": "function", "function": {"name": "..."}})',
        )
    if choice == "required" and not tools:
        raise ApiError(400, 'tool_choice "required" needs tools')
    if isinstance(choice, Named) and all(tool.name != choice.tool for tool in tools):
        raise ApiError(400, f'tool_choice names "{choice.tool}", which is not among the tools')
    return choice


def _named(given: Any) -> Named | None:
    if not isinstance(given, dict):
        return None
    members = cast("dict[str, Any]", given)
    function: Any = members.get("function", members)
    name = cast("dict[str, Any]", function).get("name") if isinstance(function, dict) else None
    return Named(name) if members.get("type", "function") == "function" and isinstance(name, str) and name else None
