"""What prompts of GLM models have in common: tools, and calls as pairs of keys and values."""

from collections.abc import Sequence
from typing import Final

from server.messages import Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.notation import compact, spaced

BEGINNING: Final = "[gMASK]<sop>"
_BEFORE_TOOLS: Final = (
    "<|system|>\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
_BEHIND_TOOLS: Final = (
    "</tools>\n\nFor each function call, output the function name and arguments within the following XML format:\n"
    "<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value>"
    "<arg_key>{arg-key-2}</arg_key><arg_value>{arg-value-2}</arg_value>...</tool_call>"
)
"""The texts that models of this kind were trained with (spec: prompting §7.13)."""


def described(tools: Sequence[Tool]) -> str:
    """The turn that tells of the tools; empty without any."""
    listed = "".join(f"{spaced(tool)}\n" for tool in tooljson.tools(tools))
    return f"{_BEFORE_TOOLS}{listed}{_BEHIND_TOOLS}" if listed else ""


def call(given: ToolCall) -> str:
    """`<tool_call>` with the name and its pairs; only strings are not JSON."""
    arguments = tooljson.arguments(given.arguments) or {}
    pairs = "".join(
        f"<arg_key>{key}</arg_key><arg_value>{value if isinstance(value, str) else compact(value)}</arg_value>"
        for key, value in arguments.items()
    )
    return f"<tool_call>{given.name}{pairs}</tool_call>"
