"""Calls as Gemma 4 and FunctionGemma write them: JSON with bare keys and marks of their own for quotes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.messages import Tool
from server.parse.syntax.literals import Notation, Values
from server.parse.syntax.raw import ANY, escaped
from server.parse.syntax.rules import Rules, parameters_schema, quoted
from server.parse.syntax.scalars import once
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import BLANKS

_NAME: Final = "/[A-Za-z_][A-Za-z0-9_]{0,63}/"
_BARE: Final = re.compile(r"""[^\s:,{}\[\]"'<]([^:,{}\[\]"'<]*[^\s:,{}\[\]"'<])?""")
"""Names that need no quotes."""


@dataclass(frozen=True, slots=True)
class _Gemma(Notation):
    """`quote` is the mark on either side of a text, which contains neither it nor `closing`."""

    quote: str
    closing: str
    null: str

    def text(self, rules: Rules) -> str:
        marks = "|".join(map(escaped, (self.quote, self.closing)))
        free = once(rules, "FREE", f"/{ANY}/ & ~/{ANY}({marks}){ANY}/")
        # A text would swallow a mark that is no token: the two are one terminal then.
        closed = once(rules, "FREE_CLOSED", f"{free} {quoted(self.quote)}")
        quote = rules.mark(self.quote)
        return once(rules, "text", f"{quote} ({closed} | {free} {quote})")

    def quoted(self, rules: Rules, text: str) -> str:
        if self.quote in text or self.closing in text:
            return ""
        quote = rules.mark(self.quote)
        return f"{quote} {quoted(text)} {quote}"

    def key(self, rules: Rules, name: str) -> str:
        written = quoted(name) if _BARE.fullmatch(name) else self.quoted(rules, name)
        return f"{written} {self._colon(rules)}"

    def any_key(self, rules: Rules) -> str:
        return f"({once(rules, 'NAME', _NAME)} | {self.text(rules)}) {self._colon(rules)}"

    def constant(self, value: bool | None) -> str:
        return self.null if value is None else '"true"' if value else '"false"'

    def _colon(self, rules: Rules) -> str:
        return once(rules, "COLON", "/: ?/")


def _gemma(opening: str, notation: _Gemma, between: str) -> CallSyntax:
    """`between`: what may stand between two calls, as a symbol."""

    def write(tools: Sequence[Tool], many: bool) -> Rules:
        rules = Rules()
        rules.add("BLANKS", BLANKS)
        rules.add("calls", f"call ({between} call)*" if many else "call")
        rules.add("call", f"{rules.mark(opening)} rest")
        written: list[str] = []
        for at, tool in enumerate(tools):
            values = Values(rules, notation, parameters_schema(tool), f"value_{at}")
            written.append(f'{quoted(f"call:{tool.name}{{")} {values.arguments()} "}}"')
        rules.add("rest", f"BLANKS ({' | '.join(written)}) BLANKS {rules.mark(notation.closing)}")
        return rules

    return CallSyntax((opening,), write)


_GEMMA4: Final = _gemma("<|tool_call>", _Gemma('<|"|>', "<tool_call|>", '"null"'), "BLANKS")
GEMMA: Final[Mapping[str, CallSyntax]] = {
    "gemma4": _GEMMA4,
    "gemma4-no-thinking": _GEMMA4,
    "functiongemma": _gemma("<start_function_call>", _Gemma("<escape>", "<end_function_call>", ""), ""),
}
"""By the parser in the config. FunctionGemma knows no null, and white space between calls is text."""
