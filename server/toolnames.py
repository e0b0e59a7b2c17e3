"""Names of tools as gpt-oss may see them: identifiers, each only once (spec: prompting §6.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from server.messages import Message, Tool

BUILT_IN: Final = frozenset(("browser.open", "browser.search", "browser.find", "python"))
"""Tools that the model knows from its training."""
_JOINED: Final = frozenset(" -.")


def identifiers(tools: Sequence[Tool]) -> dict[str, str]:
    """From the name of each tool to its identifier."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for tool in tools:
        if tool.name not in names:
            names[tool.name] = _free(tool.name if tool.name in BUILT_IN else _identifier(tool.name), taken)
            taken.add(names[tool.name])
    return names


def renamed(messages: Sequence[Message], tools: Sequence[Tool]) -> tuple[list[Message], list[Tool]]:
    """The conversation with identifiers in place of names, in what was said before too."""
    names = identifiers(tools)
    if all(name == identifier for name, identifier in names.items()):
        return list(messages), list(tools)
    return [_message(message, names) for message in messages], [replace(tool, name=names[tool.name]) for tool in tools]


def _message(message: Message, names: Mapping[str, str]) -> Message:
    calls = [replace(call, name=names.get(call.name, call.name)) for call in message.tool_calls]
    return replace(message, tool_calls=calls, tool_name=names.get(message.tool_name, message.tool_name))


def _identifier(name: str) -> str:
    kept = ("_" if char in _JOINED else char for char in name)
    text = "".join(char for char in kept if char.isalpha() or char.isdecimal() or char in "_$")
    return "_" + text if text[:1].isdecimal() else text or "unnamed"


def _free(identifier: str, taken: set[str]) -> str:
    number, name = 1, identifier
    while name in taken:
        number += 1
        name = f"{identifier}_{number}"
    return name
