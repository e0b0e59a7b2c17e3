"""The parser of one answer: reasoning first, then tool calls in what is left."""

import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from modelstore.capabilities import TemplateMode
from modelstore.template import Template
from server.messages import Message, Tool, ToolCall
from server.parse import blocks
from server.parse.blocks import BlockParser
from server.parse.families.family import Family
from server.parse.parsed import Parsed, Parser, Thoughts
from server.parse.thinking import ThinkingParser
from server.parse.tools import ToolCallParser

_NATIVE_TAGS: Final = ("<think>", "</think>")
_NATIVE_TOOL_TAGS: Final = ("[TOOL_CALLS]", "<|tool_call|>", "<|tool_calls|>")
"""Marks in front of JSON calls, in chat templates without `<tool_call>` blocks."""


def short_id() -> str:
    """An id of a call as Ollama makes it."""
    letters = string.ascii_lowercase + string.digits
    return "call_" + "".join(secrets.choice(letters) for _ in range(8))


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


def family_parser(
    family: Family, tools: Sequence[Tool], last: Message | None, think: bool | str | None
) -> OutputParser:
    """The family's parser for the answer to a conversation that ends with `last`."""
    parser = family.make(tools, last, think)
    return OutputParser(tools=parser, preserved=family.preserved, thoughts=parser.thoughts)


def parsers_for(
    mode: TemplateMode,
    template: Template | str | None,
    tools: Sequence[Tool] = (),
    think: bool | str | None = None,
    prompt: str = "",
) -> OutputParser:
    """The parser for an answer to `prompt`.

    `template` is the Go template, or in mode JINJA the text of the GGUF's chat template. For /api/generate leave the
    tools out, and in mode JINJA use a bare `OutputParser()`.
    """
    names = [tool.name for tool in tools]
    if isinstance(template, Template):
        tags = template.thinking_tags() if think else None
        tag = template.tool_tag()
        return OutputParser(
            _thinking_parser(tags, prompt),
            ToolCallParser(tag, names) if names else None,
            preserved=[*(tags or ()), *(_special(tag) if names else ())],
        )
    if mode is not TemplateMode.JINJA or not template:
        return OutputParser()
    return _native(template, names, prompt)


def _native(template: str, names: Sequence[str], prompt: str) -> OutputParser:
    """Marks in the chat template tell what its model writes."""
    tags = _NATIVE_TAGS if _NATIVE_TAGS[1] in template else None
    tools: Parser | None = None
    marks: list[str] = []
    if names and blocks.OPENING in template:
        tools, marks = BlockParser(names), [blocks.OPENING, blocks.CLOSING]
    elif names:
        tag = next((mark for mark in _NATIVE_TOOL_TAGS if mark in template), "{")
        tools, marks = ToolCallParser(tag, names), _special(tag)
    return OutputParser(
        _thinking_parser(tags, prompt),
        tools,
        new_id=long_id,
        calls_at_end=True,
        preserved=[*(tags or ()), *marks],
    )


def _thinking_parser(tags: tuple[str, str] | None, prompt: str) -> ThinkingParser | None:
    return ThinkingParser(*tags, opened=prompt.rstrip().endswith(tags[0])) if tags else None


def _special(tag: str) -> list[str]:
    """The part of a tool tag that may be a control token: its bracketed beginning, or all of it."""
    if tag in ("{", "["):
        return []
    closing = {"[": "]", "<": ">"}.get(tag[0])
    end = tag.find(closing) + 1 if closing else 0
    return [tag[:end] if end else tag]
