"""Calls as a name and pairs of keys and values: GLM and Laguna write them so."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from server.messages import Tool
from server.parse.syntax.raw import RawValues, parameters
from server.parse.syntax.rules import Rules, quoted
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import BLANKS, tagged_calls

_CALL: Final = ("<tool_call>", "</tool_call>")
_KEY: Final = ("<arg_key>", "</arg_key>")
_VALUE: Final = ("<arg_value>", "</arg_value>")
_MARKS: Final = (_VALUE[1], _VALUE[0], *_KEY, _CALL[1])
"""None of them is part of a value."""


def _write(tools: Sequence[Tool], many: bool) -> Rules:
    rules = Rules()
    rules.add("BLANKS", BLANKS)
    values = RawValues(rules, _MARKS, framed=True, token=True)
    named = [_call(rules, f"call_{at}", tool, values) for at, tool in enumerate(tools)]
    tagged_calls(rules, _CALL, f"({' | '.join(named)})", many=many)
    return rules


def _call(rules: Rules, name: str, tool: Tool, values: RawValues) -> str:
    key_opening, key_closing, value_opening = map(rules.mark, (*_KEY, _VALUE[0]))

    def pair(key: str, value: str) -> str:
        return f"{key_opening} {key} {key_closing} BLANKS {value_opening} {value}"

    pairs = parameters(rules, f"{name}_pair", tool, values, pair, "BLANKS")
    return rules.add(name, f"{quoted(tool.name)} BLANKS {pairs}")


_PAIRS: Final = CallSyntax((_CALL[0],), _write)
_IN_THOUGHTS: Final = replace(_PAIRS, anywhere=True)
PAIRS: Final[Mapping[str, CallSyntax]] = {
    "glm-4.7": _PAIRS,
    "glm-ocr": _PAIRS,
    "laguna": _IN_THOUGHTS,
    "poolside-v1": _IN_THOUGHTS,
}
"""By the parser in the config."""
