"""The parser of one answer: reasoning first, then tool calls in what is left."""

import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from server.messages import ToolCall
from server.parse.parsed import Parsed, Parser, Thoughts
from server.parse.thinking import ThinkingParser


def short_id() -> str:
    """An id of a call as Ollama makes it."""
    letters = string.ascii_lowercase + string.digits
    return "call_" + "".join(secrets.choice(letters) for _ in range(8))


def no_id() -> str:
    """Calls in completions have none."""
    return ""


def long_id() -> str:
    """An id of a call as the reference's engine makes it."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))


class OutputParser:
    """What a route feeds with the model's text. Without parts it hands everything on as content."""

    def __init__(
        self,
        thinking: ThinkingParser | None = None,
        tools: Parser | None = None,
        *,
        new_id: Callable[[], str] = short_id,
        calls_at_end: bool = False,
        preserved: Sequence[str] = (),
        thoughts: Thoughts | None = None,
    ) -> None:
        """`thoughts`: the marks of the reasoning that comes whether asked for or not, found by `tools`."""
        self._thinking = thinking
        self._thoughts = thoughts
        self._tools = tools
        self._new_id = new_id
        self._calls_at_end = calls_at_end
        self._calls: tuple[ToolCall, ...] = ()
        self.preserved: Final = list(preserved)
        """Control tokens that the engine must write out, because the parser looks for them."""

    def thoughts(self, think: bool | str | None) -> Thoughts | None:
        """The marks around the reasoning with which an answer begins; None where it begins at once."""
        if self._thinking is not None:
            return self._thinking.thoughts if think else None
        if think is False and self._thoughts is not None and self._thoughts.opening:
            return None  # it might begin to, but was told not to
        return self._thoughts

    @property
    def transparent(self) -> bool:
        """Whether all text is content, so that there is nothing to ask."""
        return self._thinking is None and self._tools is None

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        if self.transparent:
            return Parsed(text)
        parsed = self._thinking.feed(text) if self._thinking else Parsed(text)
        if self._tools:
            parsed = Parsed(thinking=parsed.thinking) + self._tools.feed(parsed.content)
        return self._with_calls(parsed, self._calls_at_end)

    def finish(self) -> Parsed:
        """What was held back, and calls that are delivered last. Call it once."""
        parsed = self._thinking.finish() if self._thinking else Parsed()
        if self._tools:
            rest = self._tools.feed(parsed.content) + self._tools.finish()
            parsed = Parsed(thinking=parsed.thinking) + rest
        return self._with_calls(parsed, False)

    def _with_calls(self, parsed: Parsed, keep: bool) -> Parsed:
        """The same with ids, or without its calls if they wait for the end."""
        if not parsed.calls and not self._calls:
            return parsed
        calls = self._calls + tuple(replace(call, id=self._new_id()) for call in parsed.calls)
        self._calls = calls if keep else ()
        return replace(parsed, calls=() if keep else calls)
