"""Models that announce what they are going to say: Harmony (gpt-oss) and Cohere."""

from collections.abc import Sequence
from typing import Final

from server.messages import Tool
from server.parse.parsed import Thoughts
from server.parse.syntax.rules import Rules, parameters_schema, quoted
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import BLANKS, call_objects
from server.toolnames import identifiers

_RECIPIENT: Final = " to=functions."


def _harmony(tools: Sequence[Tool], many: bool) -> Rules:
    """A call ends the answer, so there is one, whether there may be several or not. The prompt has begun its header,
    unless reasoning has come between."""
    rules = Rules()
    spelled = identifiers(tools)
    channel, message, constrain = map(rules.mark, ("<|channel|>", "<|message|>", "<|constrain|>"))
    start = f'({rules.mark("<|start|>")} "assistant")?'
    rules.add("calls", f'{start} {channel} "commentary{_RECIPIENT}" rest')
    rules.add("rest", *(f"rest_{index}" for index in range(len(tools))))
    rules.add(
        "header",
        f'(" "? {constrain} "json")? {message}',
        f'{channel} "commentary" (" "? {constrain} "json")? {message}',
    )
    for index, tool in enumerate(tools):
        rules.add(f"rest_{index}", f"{quoted(spelled[tool.name])} header {rules.json(parameters_schema(tool))}")
    return rules


def _cohere(tools: Sequence[Tool], many: bool) -> Rules:
    rules = Rules()
    rules.add("BLANKS", BLANKS)
    number = r'"\"tool_call_id\"" COLON /"[0-9]{1,3}"/'
    item = call_objects(rules, tools, name="tool_name", arguments="parameters", before=number)
    more = f' (BLANKS "," BLANKS {item})*' if many else ""
    rules.add("calls", f"{rules.mark('<|START_ACTION|>')} rest")
    rules.add("rest", f'BLANKS "[" BLANKS {item}{more} BLANKS "]" BLANKS {rules.mark("<|END_ACTION|>")}')
    return rules


HARMONY: Final = CallSyntax(
    (f"<|channel|>commentary{_RECIPIENT}", f"<|start|>assistant{_RECIPIENT}"),
    _harmony,
    anywhere=True,
    thoughts=Thoughts("<|channel|>analysis", "<|end|>"),
    lead=("<|start|>", "assistant", "<|channel|>", "final", "<|message|>"),
)
COHERE: Final = CallSyntax(
    ("<|START_ACTION|>",),
    _cohere,
    anywhere=True,
    thoughts=Thoughts("", "<|END_THINKING|>"),
    lead=("<|START_TEXT|>",),
)
