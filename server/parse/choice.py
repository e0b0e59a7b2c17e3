"""Which parser reads an answer: by the model's config, its Go template, or the marks in the GGUF's chat template."""

from collections.abc import Sequence
from typing import Final

from modelstore.capabilities import TemplateMode
from modelstore.template import Template
from server.messages import Message, Tool
from server.parse import blocks
from server.parse.blocks import BlockParser
from server.parse.families import FAMILIES, Family, sections
from server.parse.output import OutputParser, long_id, no_id, short_id
from server.parse.parsed import Parser
from server.parse.thinking import ThinkingParser
from server.parse.tools import ToolCallParser

_NATIVE_TAGS: Final = ("<think>", "</think>")
_NATIVE_TOOL_TAGS: Final = ("[TOOL_CALLS]", "<|tool_call|>", "<|tool_calls|>")
"""Marks in front of JSON calls, in chat templates without `<tool_call>` blocks."""
_OPEN_THINKING: Final = "<|START_THINKING|>"
_MARKS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("harmony", ("<|start|>", "<|end|>", "<|message|>")),
    ("cohere", ("<|START_ACTION|>", "<|END_ACTION|>")),
    ("cogito", (sections.CALLS[0], sections.SEPARATOR, "```json")),
    ("deepseek3", (sections.CALLS[0], sections.SEPARATOR)),
    ("qwen3-coder", ("<function=", "<parameter=")),
    ("glm-4.7", ("<arg_key>", "<arg_value>")),
    ("ministral", ("[TOOL_CALLS]", "[ARGS]")),
    ("lfm2", ("<|tool_call_start|>", "<|tool_call_end|>")),
    ("functiongemma", ("<start_function_call>",)),
    ("gemma4", ("<|tool_call>", "<tool_call|>")),
)
"""What only the chat templates of one family have."""
_CHANNELED: Final = ("harmony", "cohere", "gemma4")
"""Families that say everything between marks, reasoning included."""


def family_parser(
    family: Family, tools: Sequence[Tool], last: Message | None, think: bool | str | None, *, chat: bool = True
) -> OutputParser:
    """The family's parser for the answer to a conversation that ends with `last`. The calls in a completion, which is
    no `chat`, come at its end and without ids."""
    parser = family.make(tools, last, think)
    return OutputParser(
        tools=parser,
        preserved=family.preserved,
        thoughts=parser.thoughts,
        new_id=short_id if chat else no_id,
        calls_at_end=not chat,
    )


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
    if isinstance(template, Template):
        names = [tool.name for tool in tools]
        tags = template.thinking_tags() if think else None
        tag = template.tool_tag()
        return OutputParser(
            _thinking_parser(tags, prompt),
            ToolCallParser(tag, names) if names else None,
            preserved=[*(tags or ()), *(_special(tag) if names else ())],
        )
    if mode is not TemplateMode.JINJA or not template:
        return OutputParser()
    return _native(template, tools, think, prompt)


def _native(template: str, tools: Sequence[Tool], think: bool | str | None, prompt: str) -> OutputParser:
    """Marks in the chat template tell what its model writes. Calls come at the end, with long ids."""
    name = native_family(template)
    if name in _CHANNELED:
        return _native_channels(FAMILIES[name], tools, think, prompt)
    tags = _NATIVE_TAGS if _NATIVE_TAGS[1] in template else None
    parser: Parser | None = None
    marks: Sequence[str] = ()
    names, tag = [tool.name for tool in tools], native_tool_tag(template)
    if names and name:
        parser, marks = FAMILIES[name].make(tools, None, False), FAMILIES[name].preserved
    elif names and tag == blocks.OPENING:
        parser, marks = BlockParser(names), (blocks.OPENING, blocks.CLOSING)
    elif names:
        parser, marks = ToolCallParser(tag, names), _special(tag)
    return OutputParser(
        _thinking_parser(tags, prompt),
        parser,
        new_id=long_id,
        calls_at_end=True,
        preserved=[*(tags or ()), *marks],
    )


def _native_channels(family: Family, tools: Sequence[Tool], think: bool | str | None, prompt: str) -> OutputParser:
    """Everything is said between marks, whether there are tools or not. A chat template leaves no message open."""
    thinks = prompt.rstrip().endswith(_OPEN_THINKING) if family is FAMILIES["cohere"] else think
    parser = family.make(tools, None, thinks)
    return OutputParser(
        tools=parser, new_id=long_id, calls_at_end=True, preserved=family.preserved, thoughts=parser.thoughts
    )


def native_tool_tag(template: str) -> str:
    """What stands in front of calls, by the marks that a chat template knows of."""
    return next((mark for mark in (blocks.OPENING, *_NATIVE_TOOL_TAGS) if mark in template), "{")


def native_family(template: str) -> str:
    """The built-in parser for what a model with this chat template writes; empty for none."""
    return next((name for name, marks in _MARKS if all(mark in template for mark in marks)), "")


def _thinking_parser(tags: tuple[str, str] | None, prompt: str) -> ThinkingParser | None:
    return ThinkingParser(*tags, opened=prompt.rstrip().endswith(tags[0])) if tags else None


def _special(tag: str) -> list[str]:
    """The part of a tool tag that may be a control token: its bracketed beginning, or all of it."""
    if tag in ("{", "["):
        return []
    closing = {"[": "]", "<": ">"}.get(tag[0])
    end = tag.find(closing) + 1 if closing else 0
    return [tag[:end] if end else tag]
