"""Calls as Python writes them: LFM2 in a list, Olmo 3 in lines."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.messages import Tool
from server.parse.syntax.literals import SEPARATOR, Notation, Values
from server.parse.syntax.raw import ANY, escaped
from server.parse.syntax.rules import Rules, parameters_schema, quoted
from server.parse.syntax.scalars import once
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import BLANKS

_LIST: Final = ("<|tool_call_start|>", "<|tool_call_end|>")
_LINES: Final = ("<function_calls>", "</function_calls>")
_NAME: Final = "/[A-Za-z_][A-Za-z0-9_]{0,63}/"
_ESCAPE: Final = r"""\\(["'\\ntr]|u([0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))"""
_INNER: Final = r"[^%s\\\x00-\x1f\x7f]"
_LETTERS: Final = {"\n": "n", "\t": "t", "\r": "r"}
_CONSTANTS: Final = {True: '("true" | "True")', False: '("false" | "False")', None: '("null" | "None")'}


@dataclass(frozen=True, slots=True)
class _Python(Notation):
    """Literals of Python, constants in JSON's spelling, too. No text contains `closing`."""

    closing: str

    def text(self, rules: Rules) -> str:
        forms = (f"/{quote}({_INNER % quote}|{_ESCAPE})*{quote}/" for quote in ('"', "'"))
        return once(rules, "TEXT", f"({' | '.join(forms)}) & ~/{ANY}{escaped(self.closing)}{ANY}/")

    def quoted(self, rules: Rules, text: str) -> str:
        if self.closing in text:
            return ""
        return " | ".join(f"/{quote}{''.join(_letter(char, quote) for char in text)}{quote}/" for quote in ('"', "'"))

    def key(self, rules: Rules, name: str) -> str:
        return f"({self.quoted(rules, name)}) {self._colon(rules)}"

    def any_key(self, rules: Rules) -> str:
        return f"{self.text(rules)} {self._colon(rules)}"

    def parameter(self, rules: Rules, name: str) -> str:
        return quoted(f"{name}=")

    def any_parameter(self, rules: Rules) -> str:
        return f'{once(rules, "NAME", _NAME)} "="'

    def constant(self, value: bool | None) -> str:
        return _CONSTANTS[value]

    def _colon(self, rules: Rules) -> str:
        return once(rules, "COLON", "/: ?/")


def _write_list(tools: Sequence[Tool], many: bool) -> Rules:
    rules = Rules()
    rules.add("BLANKS", BLANKS)
    call = _calls(rules, tools, _LIST[1])
    more = f" ({once(rules, 'SEPARATOR', SEPARATOR)} {call})*" if many else ""
    rules.add("calls", f"{rules.mark(_LIST[0])} rest")
    rules.add("rest", f'BLANKS "[" {call}{more} "]" BLANKS {rules.mark(_LIST[1])}')
    return rules


def _write_lines(tools: Sequence[Tool], many: bool) -> Rules:
    rules = Rules()
    rules.add("BLANKS", BLANKS)
    call = _calls(rules, tools, _LINES[1])
    more = rf" (/\n{{1,2}}/ {call})*" if many else ""
    rules.add("calls", f"{rules.mark(_LINES[0])} rest")
    rules.add("rest", f"BLANKS {call}{more} BLANKS {rules.mark(_LINES[1])}")
    return rules


def _calls(rules: Rules, tools: Sequence[Tool], closing: str) -> str:
    """The name of the rule for one call."""
    notation = _Python(closing)
    written: list[str] = []
    for at, tool in enumerate(tools):
        values = Values(rules, notation, parameters_schema(tool), f"value_{at}")
        written.append(f'{quoted(f"{tool.name}(")} {values.arguments()} ")"')
    return rules.add("call", *written)


def _letter(char: str, quote: str) -> str:
    """A regular expression for the ways to write a character."""
    if char == "\\":
        return r"\\\\"
    if char in "\"'":
        return rf"\\{char}" if char == quote else rf"(\\)?{char}"
    if char in _LETTERS:
        return rf"\\{_LETTERS[char]}"
    if char < " " or char == "\x7f":
        return rf"\\u{ord(char):04x}"
    if char in "<>&":
        return rf"({char}|\\u{ord(char):04x})"
    return re.escape(char).replace("/", r"\/")


_LISTED: Final = CallSyntax(_LIST[:1], _write_list)
PYTHONIC: Final[Mapping[str, CallSyntax]] = {
    "lfm2": _LISTED,
    "lfm2-thinking": _LISTED,
    "olmo3": CallSyntax(_LINES[:1], _write_lines),
}
"""By the parser in the config."""
