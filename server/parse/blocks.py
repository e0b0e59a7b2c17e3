"""Tool calls as `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, the form most chat templates of GGUFs teach.

A block that is no call of a declared tool comes out as the text it is. Blanks around blocks are dropped.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

from server.messages import ToolCall
from server.parse.parsed import Parsed, held_length
from server.parse.scan import load_object

OPENING: Final = "<tool_call>"
CLOSING: Final = "</tool_call>"


class BlockParser:
    """`names`: of the declared tools."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._held = ""
        self._searched = 0
        """No closing mark begins before it."""
        self._inside = False
        self._count = 0
        self._after_call = False
        """Nothing but blanks came since the last call."""

    def feed(self, text: str) -> Parsed:
        self._held += text
        parsed = Parsed()
        while True:
            mark = CLOSING if self._inside else OPENING
            start = self._held.find(mark, self._searched)
            if start < 0:
                if self._inside:
                    self._searched = max(0, len(self._held) - len(mark) + 1)
                    return parsed
                return parsed + self._text(self._held)
            head, self._held = self._held[:start], self._held[start + len(mark) :]
            parsed += self._block(head, CLOSING) if self._inside else self._said(head.rstrip())
            self._inside, self._searched = not self._inside, 0

    def finish(self) -> Parsed:
        held, self._held = self._held, ""
        if self._inside:
            return self._block(held, "")
        return self._said(held) if held.strip() or not self._after_call else Parsed()

    def _text(self, text: str) -> Parsed:
        """Text outside blocks, but for an end that may turn out to be a mark, or blanks in front of one."""
        certain = text[: len(text) - held_length(text, OPENING)].rstrip()
        self._held = text[len(certain) :]
        return self._said(certain)

    def _said(self, text: str) -> Parsed:
        if self._after_call:
            text = text.lstrip()
        self._after_call = self._after_call and not text
        return Parsed(text)

    def _block(self, body: str, closing: str) -> Parsed:
        value = load_object(body.strip()) or {}
        name, arguments = value.get("name"), _arguments(value.get("arguments", value.get("parameters")))
        if not isinstance(name, str) or name not in self._names or arguments is None:
            self._after_call = False
            return Parsed(f"{OPENING}{body}{closing}")
        call = ToolCall(name, arguments, index=self._count)
        self._count += 1
        self._after_call = True
        return Parsed(calls=(call,))


def _arguments(given: object) -> dict[str, Any] | None:
    """None for what cannot be arguments."""
    if isinstance(given, str):
        return load_object(given or "{}")
    return cast("dict[str, Any]", given or {}) if isinstance(given, dict | None) else None
