"""The families whose calls are no JSON objects, tools for them, and what their parsers make of a text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.gojson.walk import Walk
from server.messages import Message, Tool, ToolCall
from server.parse.families import FAMILIES
from server.parse.parsed import Parsed
from server.parse.syntax import CallSyntax
from server.parse.syntax.atem import ATEM
from server.parse.syntax.elements import ELEMENTS
from server.parse.syntax.gemma import GEMMA
from server.parse.syntax.pairs import PAIRS
from server.parse.syntax.pythonic import PYTHONIC
from server.prompt.renderers import RENDERERS
from server.schema.conversation import TOOLS
from tests.unit.server.parse.families.pieces import whole

MARKUP: Final[Mapping[str, CallSyntax]] = {**ELEMENTS, **PAIRS, **ATEM, **PYTHONIC, **GEMMA}
"""By the name of the parser."""
_ALIKE: Final = ("ornith", "nemotron-3.5-nano", "glm-ocr", "lfm2-thinking", "gemma4-no-thinking")
DISTINCT: Final = [name for name in MARKUP if name not in _ALIKE]
"""One name for each grammar and parser."""
ENDS: Final = {
    **dict.fromkeys(ELEMENTS, "</tool_call>"),
    **dict.fromkeys(PAIRS, "</tool_call>"),
    "glimmer": "</atem:function_calls>",
    **dict.fromkeys(("lfm2", "lfm2-thinking"), "<|tool_call_end|>"),
    "olmo3": "</function_calls>",
    **dict.fromkeys(("gemma4", "gemma4-no-thinking"), "<tool_call|>"),
    "functiongemma": "<end_function_call>",
}
"""The last mark of a call."""
CLOSINGS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(ELEMENTS, ("</parameter>",)),
    **dict.fromkeys(PAIRS, ("</arg_value>",)),
    "glimmer": ("</atem:parameter>", "<|eom|><|start|>assistant "),
    **dict.fromkeys(PYTHONIC, ('"', "'")),
    **dict.fromkeys(GEMMA, ('<|"|>',)),
    "functiongemma": ("<escape>",),
}
"""What ends a free text."""
_QUESTION: Final = "What is it?"


def declared(name: str, parameters: Mapping[str, Any] | None = None) -> Tool:
    """A tool as the API takes it."""
    function = {"name": name, "description": "d", **({"parameters": parameters} if parameters is not None else {})}
    (tool,) = TOOLS.decode([{"type": "function", "function": function}], Walk())
    return tool


def takes(**properties: Any) -> dict[str, Any]:
    """The schema of an object that must have all of these members."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def rendered(name: str, tools: Sequence[Tool], calls: Sequence[ToolCall]) -> str:
    """What the family's renderer writes for calls, from the first mark to the last one."""
    render = RENDERERS[{"gemma4-no-thinking": "gemma4"}.get(name, name)]
    messages = [Message("user", _QUESTION), Message("assistant", tool_calls=list(calls)), Message("user", _QUESTION)]
    answer = render(messages, tools, False).split(_QUESTION)[1]
    start = answer.index(" to=" if name == "glimmer" else MARKUP[name].openings[0])
    return answer[start : answer.rindex(ENDS[name]) + len(ENDS[name])]


def read(name: str, tools: Sequence[Tool], text: str) -> Parsed:
    """What the family's parser makes of an answer without reasoning."""
    return whole(FAMILIES[name].make(tools, None, False), text)
