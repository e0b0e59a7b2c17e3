"""Calls as nested elements: Qwen3-Coder, Qwen3.5 and Nemotron 3 write them so."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from server.messages import Tool
from server.parse.syntax.raw import RawValues, parameters
from server.parse.syntax.rules import Rules, quoted
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import BLANKS, tagged_calls

_CALL: Final = ("<tool_call>", "</tool_call>")
_ENDS: Final = ("</parameter>", "</function>", _CALL[1])
"""What the parser takes for an end wherever it stands."""


def _write(tools: Sequence[Tool], many: bool) -> Rules:
    rules = Rules()
    rules.add("BLANKS", BLANKS)
    values = RawValues(rules, _ENDS, framed=True)
    functions = [_function(rules, f"function_{at}", tool, values) for at, tool in enumerate(tools)]
    tagged_calls(rules, _CALL, f"({' | '.join(functions)}) BLANKS", many=many)
    return rules


def _function(rules: Rules, name: str, tool: Tool, values: RawValues) -> str:
    def element(key: str, value: str) -> str:
        return f'"<parameter=" {key} ">" {value}'

    inner = parameters(rules, f"{name}_parameter", tool, values, element, "BLANKS")
    return rules.add(name, f'{quoted(f"<function={tool.name}>")} BLANKS {inner} "</function>"')


_ELEMENTS: Final = CallSyntax((_CALL[0],), _write)
_IN_THOUGHTS: Final = replace(_ELEMENTS, anywhere=True)
ELEMENTS: Final[Mapping[str, CallSyntax]] = {
    "qwen3-coder": _ELEMENTS,
    "qwen3.5": _IN_THOUGHTS,
    "ornith": _IN_THOUGHTS,
    "nemotron-3-nano": _IN_THOUGHTS,
    "nemotron-3.5-nano": _IN_THOUGHTS,
}
"""By the parser in the config."""
