"""A model's text → content, thinking, tool calls. Incremental: pieces of any size add up to the same.

family_parser(family, tools, last, think) → OutputParser              what a route uses, by the name in the config
parsers_for(mode, template, tools, think, prompt) → OutputParser      else, by what the template shows
OutputParser.feed(text) → Parsed(content, thinking, calls); .finish() → Parsed; .preserved
ThinkingParser(opening, closing)        tags around reasoning at the beginning
ToolCallParser(tag, names)              calls behind a tag inferred from a Go template
BlockParser(names)                      <tool_call> blocks of chat templates in GGUFs
"""

from server.parse.blocks import BlockParser
from server.parse.choice import family_parser, native_family, native_tool_tag, parsers_for
from server.parse.output import OutputParser
from server.parse.parsed import Parsed, Parser, Thoughts
from server.parse.thinking import ThinkingParser
from server.parse.tools import ToolCallParser

__all__ = [
    "BlockParser",
    "OutputParser",
    "Parsed",
    "Parser",
    "ThinkingParser",
    "Thoughts",
    "ToolCallParser",
    "family_parser",
    "native_family",
    "native_tool_tag",
    "parsers_for",
]
