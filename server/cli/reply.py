"""A model's reply on its way to the screen: thinking set apart, words wrapped, and the figures behind it."""

import json
from collections.abc import Callable
from enum import Enum
from typing import Final, TextIO

from server.cli.answer import Json, inner, objects, whole
from server.cli.answer import text as field
from server.cli.progress import terminal_size
from server.cli.wrap import Wrapper
from server.gojson.duration import format_nanoseconds

_GREY: Final = "\x1b[38;5;245m"
_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"
_OPENING: Final = "Thinking...\n"
_CLOSING: Final = "...done thinking.\n\n"

THINK_LEVELS: Final = ("high", "medium", "low", "max")


class _Part(Enum):
    NOTHING = 0
    THINKING = 1
    ANSWER = 2


class Printer:
    """Writes one reply. A terminal gets colours and wrapped words; what goes into a pipe is the text alone."""

    def __init__(self, out: TextIO, *, wrap: bool, thinking: bool, begin: Callable[[], None]) -> None:
        """`begin` is called once, before anything is written; `thinking` is whether to show it."""
        self._out = out
        self._colours = out.isatty()
        self._wrapper = Wrapper(terminal_size(out).columns) if wrap and self._colours else None
        self._shows_thinking = thinking
        self._begin = begin
        self._part = _Part.NOTHING
        self.thought = ""
        """What the model thought so far, shown or not."""
        self.answer = ""

    def event(self, event: Json) -> None:
        """One event of `/api/generate` or `/api/chat`."""
        message = inner(event, "message") or event
        text = field(message, "content") or field(message, "response")
        self._thinking(field(message, "thinking"))
        self.answer += text
        self._content(text)
        for call in objects(message, "tool_calls"):
            self._content(_tool_call(inner(call, "function")))

    def _thinking(self, text: str) -> None:
        self.thought += text
        if not text or not self._shows_thinking:
            return
        if self._part is not _Part.THINKING:
            self._enter(_Part.THINKING)
            self._write(f"{_GREY}{_BOLD}{_OPENING}{_PLAIN}{_GREY}" if self._colours else _OPENING)
        self._write(self._wrapped(text))

    def _content(self, text: str) -> None:
        if not text:
            return
        if self._part is not _Part.ANSWER:
            self.close_thinking()
            self._enter(_Part.ANSWER)
        self._write(self._wrapped(text))

    def close_thinking(self) -> None:
        if self._part is not _Part.THINKING:
            return
        if not self.thought.endswith("\n"):
            self._write("\n")
        self._write(f"{_GREY}{_BOLD}{_CLOSING}{_PLAIN}" if self._colours else _CLOSING)
        self._wrapped("\n")
        self._part = _Part.ANSWER

    def stop(self) -> None:
        """Leave no colour behind where a reply ends in the middle."""
        if self._part is _Part.THINKING and self._colours:
            self._write(_PLAIN)

    def _enter(self, part: _Part) -> None:
        if self._part is _Part.NOTHING:
            self._begin()
        self._part = part

    def _wrapped(self, text: str) -> str:
        return self._wrapper.feed(text) if self._wrapper else text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _tool_call(function: Json) -> str:
    arguments = json.dumps(inner(function, "arguments"), separators=(",", ":"), ensure_ascii=False)
    return f"  Model called a non-existent function '{field(function, 'name')}()' with arguments: {arguments}\n"


def statistics(final: Json) -> str:
    """How long a reply took and how fast it was, from its last event; what is zero is left out."""
    lines: list[tuple[str, str]] = []
    if total := whole(final, "total_duration"):
        lines.append(("total duration:", format_nanoseconds(total)))
    if load := whole(final, "load_duration"):
        lines.append(("load duration:", format_nanoseconds(load)))
    for label, key in (("prompt eval", "prompt_eval"), ("eval", "eval")):
        count, length = whole(final, f"{key}_count"), whole(final, f"{key}_duration")
        if count:
            lines.append((f"{label} count:", f"{count} token(s)"))
        if length:
            lines.append((f"{label} duration:", format_nanoseconds(length)))
            lines.append((f"{label} rate:", f"{count / length * 1e9:.2f} tokens/s"))
    return "".join(f"{label:<22}{value}\n" for label, value in lines)
