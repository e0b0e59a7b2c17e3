"""Calls as Muse Glimmer writes them: `<atem:invoke name="NAME">` with `<atem:parameter name="KEY">VALUE…` in a block.

It looks like XML and is none: values are what stands between the marks, nothing is escaped.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from server.messages import Tool, ToolCall
from server.parse.families.family import coerced, types_of

BLOCK: Final = ("<atem:function_calls>", "</atem:function_calls>")
_INVOKE: Final = re.compile(r'\s*<atem:invoke name="([^"]*)">')
_PARAMETER: Final = re.compile(r'\s*<atem:parameter name="([^"]*)">(.*?)</atem:parameter>', re.DOTALL)
_INVOKED: Final = re.compile(r"\s*</atem:invoke>")
_MESSAGE: Final = "<|message|>"
"""Models write it into names by mistake."""


class Calls:
    """Reads calls of declared tools. A tool also answers to its name behind the name of its namespace."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools
        names = [tool.name for tool in tools if tool.name]
        self.recipients: Final = {f"{name.partition('.')[0]}.{name}": name for name in names} | {
            name: name for name in names
        }
        """From what a call may be addressed to to the name of the tool."""

    def resolve(self, recipient: str) -> str:
        """The name of the declared tool; empty if there is none."""
        return self.recipients.get(recipient, "")

    def read(self, text: str, recipient: str = "") -> list[ToolCall] | None:
        """The calls of a block, all of them of `recipient` if one is given; None if it cannot be read."""
        if not text.startswith(BLOCK[0]) or not text.endswith(BLOCK[1]):
            return None
        body = text[len(BLOCK[0]) : -len(BLOCK[1])].rstrip()
        calls: list[ToolCall] = []
        at = 0
        while at < len(body):
            found = self._call(body, at)
            if found is None or recipient not in ("", found[0].name):
                return None
            call, at = found
            calls.append(call)
        return calls or None

    def _call(self, body: str, at: int) -> tuple[ToolCall, int] | None:
        """The call that begins there, and where it ends."""
        invoke = _INVOKE.match(body, at)
        name = self.resolve(invoke[1].replace(_MESSAGE, "").strip()) if invoke else ""
        if invoke is None or not name:
            return None
        arguments: dict[str, Any] = {}
        at = invoke.end()
        while parameter := _PARAMETER.match(body, at):
            arguments[parameter[1]] = coerced(parameter[2], types_of(self._tools, name, parameter[1]))
            at = parameter.end()
        closing = _INVOKED.match(body, at)
        return (ToolCall(name, arguments), closing.end()) if closing else None
