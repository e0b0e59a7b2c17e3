"""Calls as Muse Glimmer writes them: messages to a tool with a block of elements."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Tool
from server.parse.parsed import Thoughts
from server.parse.syntax.raw import ANY, RawValues, escaped, parameters
from server.parse.syntax.rules import Rules, quoted
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import BLANKS

_BLOCK: Final = ("<atem:function_calls>", "</atem:function_calls>")
_START, _MESSAGE, _END, _LAST = "<|start|>", "<|message|>", "<|eom|>", "<|eot|>"
_ENDS: Final = ("</atem:parameter>", _BLOCK[1], _START, _END, _LAST)
"""What the parser takes for an end wherever it stands."""


def _write(tools: Sequence[Tool], many: bool) -> Rules:
    """The prompt has begun the header of the first message, which may be reasoning."""
    rules = Rules()
    rules.add("BLANKS", BLANKS)
    values = RawValues(rules, _ENDS, framed=False)
    start, message, end = map(rules.mark, (_START, _MESSAGE, _END))
    blocks = [_block(rules, f"block_{at}", tool, values) for at, tool in enumerate(tools)]
    addressed = [
        f"{quoted(f'to={tool.name}')} {message} {quoted(_BLOCK[0])} {block}"
        for tool, block in zip(tools, blocks, strict=True)
    ]
    rules.add("call", *addressed)
    rules.add("next", f'{end} {start} "assistant "')
    rules.add("THOUGHT", f"/{ANY}/ & ~/{ANY}({'|'.join(map(escaped, (_START, _END, _LAST)))}){ANY}/")
    # A text would swallow a mark that is no token: the two are one terminal then.
    rules.add("ENDED", f"THOUGHT {quoted(f'{_END}{_START}assistant ')}")
    rules.add("thinking", f'"to=self" {message} (ENDED | THOUGHT next)')
    rules.add("calls", f'" "? thinking? call{" (next call)*" if many else ""}')
    rules.add("rest", *blocks)
    return rules


def _block(rules: Rules, name: str, tool: Tool, values: RawValues) -> str:
    def element(key: str, value: str) -> str:
        return rf'"<atem:parameter name=\"" {key} "\">" {value}'

    inner = parameters(rules, f"{name}_parameter", tool, values, element, "BLANKS")
    opening = quoted(f'<atem:invoke name="{tool.name}">')
    return rules.add(name, f'BLANKS {opening} BLANKS {inner} "</atem:invoke>" BLANKS {quoted(_BLOCK[1])}')


ATEM: Final[Mapping[str, CallSyntax]] = {
    "glimmer": CallSyntax(
        (_BLOCK[0],),
        _write,
        thoughts=Thoughts("", ""),  # `calls` have it in front
        lead=(_START, "assistant", " to=user", _MESSAGE),
    ),
}
"""By the parser in the config."""
