"""The syntax of calls that a model's own template shows.

A conversation with two calls is rendered, and what stands around their names and arguments tells the form:

    {"name": "a", "arguments": {…}}     objects, perhaps in an array
    a[ARGS]{…}                          a name, a mark, arguments

each behind the tag that the parser looks for, and perhaps in front of another one.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple, TypeAlias

from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.parse.syntax.named import named
from server.parse.syntax.rules import Rules, quoted
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import BLANKS, call_members, call_objects, key

Render: TypeAlias = Callable[[Sequence[Message], Sequence[Tool]], str]

_NAMES: Final = ("first_probe_6b1f", "second_probe_6b1f")
_ARGUMENTS: Final = r'\{\s*"probe"\s*:\s*"x"\s*\}'
_TWO_CALLS: Final = re.compile(
    rf"{_NAMES[0]}(?P<between>.{{0,80}}?){_ARGUMENTS}(?P<behind>.{{0,200}}?){_NAMES[1]}", re.DOTALL
)
_MEMBER: Final = re.compile(r'(?P<array>\[?)\s*\{\s*"(?P<key>\w+)"\s*:\s*"$')
_BETWEEN: Final = re.compile(r'"\s*,\s*"(?P<key>\w+)"\s*:\s*')
_MARK: Final = re.compile(r"(<[^>]*>|\[[^\]]+\])(.*)", re.DOTALL)
_BRACKETS: Final = ("{", "[")
_LINES: Final = ("", " ", "\n", "\n  ", "\n    ")
"""White space that models put behind an opening bracket."""


class _Shown(NamedTuple):
    """What stands around the first call of a rendered conversation."""

    before: str
    between: str
    behind: str


def inferred(render: Render, tag: str) -> CallSyntax | None:
    """None where the template shows no calls, or in a form of its own. `tag`: what the parser takes for an opening.

    Raises what `render` raises.
    """
    shown = _shown(render(_conversation(), _tools()))
    if shown is None:
        return None
    member, between = _MEMBER.search(shown.before), _BETWEEN.fullmatch(shown.between)
    if member and between:
        array = tag.endswith("[") or bool(member["array"])
        form = _Objects(tag, _closing(tag, shown.behind), member["key"], between["key"], array)
        return CallSyntax(form.openings, form.write, at_start=tag in _BRACKETS)
    mark = shown.between.strip()
    if tag not in _BRACKETS and mark and '"' not in mark and shown.before.rstrip().endswith(tag):
        return named(tag, mark)
    return None


def plain(tag: str) -> CallSyntax:
    """The commonest form behind a tag, for models whose template shows none: `{"name": …, "arguments": {…}}`."""
    form = _Objects(tag, "", "name", "arguments", tag.endswith("["))
    return CallSyntax(form.openings, form.write, at_start=tag in _BRACKETS)


def _conversation() -> list[Message]:
    calls = [ToolCall(name, {"probe": "x"}, f"call{at}0000", at) for at, name in enumerate(_NAMES)]
    results = [Message("tool", "x", tool_name=call.name, tool_call_id=call.id) for call in calls]
    return [Message("user", "x"), Message("assistant", tool_calls=calls), *results]


def _tools() -> list[Tool]:
    parameters = Parameters("object", properties={"probe": Property(type=["string"])})
    return [Tool("function", name=f"{name}_declared", parameters=parameters) for name in ("one", "other")]


def _shown(text: str) -> _Shown | None:
    found = _TWO_CALLS.search(text)
    return _Shown(text[: found.start()], found["between"], found["behind"]) if found else None


def _closing(tag: str, behind: str) -> str:
    """The tag that answers the opening one, if the template writes it: `</x>` for `<x>`, `[/X]` for `[X]`."""
    closing = f"{tag[:1]}/{tag[1:]}"
    return closing if tag not in _BRACKETS and closing in behind else ""


@dataclass(frozen=True, slots=True)
class _Objects:
    """Calls as JSON objects."""

    tag: str
    closing: str
    name: str
    arguments: str
    array: bool

    @property
    def openings(self) -> tuple[str, ...]:
        """The tag; a bare bracket only with the member that makes it a call."""
        if self.tag not in _BRACKETS:
            return (self.tag,)
        brackets = [f"[{line}{{" for line in _LINES] if self.array else ["{"]
        ways = product(brackets, _LINES, ("", " "))
        return tuple(f"{bracket}{line}{quoted(self.name)}{blank}:" for bracket, line, blank in ways)

    def write(self, tools: Sequence[Tool], many: bool) -> Rules:
        """The grammar."""
        rules = Rules()
        rules.add("BLANKS", BLANKS)
        item = call_objects(rules, tools, name=self.name, arguments=self.arguments)
        again = f'(BLANKS "," BLANKS {item})* BLANKS ' if many else "BLANKS "
        end = f" BLANKS {rules.mark(self.closing)}" if self.closing else ""
        if self.tag in _BRACKETS:
            separated = f"{item} (BLANKS {item})*" if many else item
            rules.add("calls", f'"[" BLANKS {item} {again}"]"' if self.array else separated)
            members = (
                f'/ ?/ {key(tool.name)} COMMA {call_members(rules, tool, arguments=self.arguments)} BLANKS "}}"'
                for tool in tools
            )
            rules.add("first", *members)
            rules.add("rest", f'first {again}"]"' if self.array else "first")
            return rules
        rules.add("calls", "call (BLANKS call)*" if many and not self.array else "call")
        rules.add("call", f"{self._opening(rules)} rest")
        opened = "" if self.tag.endswith("[") else '"[" BLANKS '
        rules.add("rest", f'BLANKS {opened}{item} {again}"]"{end}' if self.array else f"BLANKS {item}{end}")
        return rules

    def _opening(self, rules: Rules) -> str:
        """The tag, the bracketed part of which may be a control token."""
        found = _MARK.fullmatch(self.tag)
        if found is None:
            return rules.mark(self.tag)
        return f"{rules.mark(found[1])} {quoted(found[2])}".rstrip()
