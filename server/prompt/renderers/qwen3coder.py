"""Qwen3-Coder: ChatML, tools described in XML, calls as nested `<function=…>` and `<parameter=…>` elements."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.notation import argument, compact, in_order_of_keys

CALL_INSTRUCTIONS: Final = """\
If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within \
<tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do not tell \
the user about function calls
</IMPORTANT>"""
"""The text that models of this kind were trained with (spec: prompting §7.1, QX)."""
_DEFAULT_SYSTEM: Final = "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."
_PARAMETERS: Final = ("$defs", "items", "required")
_PROPERTY: Final = ("anyOf", "items", "enum", "properties", "required")


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt."""
    pieces = [_system(messages, tools)]
    turns = [message for message in messages if message.role != "system"]
    for index, message in enumerate(turns):
        last = index == len(turns) - 1
        before = turns[index - 1].role if index else ""
        after = "" if last else turns[index + 1].role
        if message.role == "assistant":
            pieces.append(_assistant(message, open_end=last))
        elif message.role == "tool":
            pieces.append(tool_result(message.content, first=before != "tool", last=after != "tool"))
        else:
            pieces.append(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n")
    if not turns or turns[-1].role != "assistant":
        pieces.append("<|im_start|>assistant\n")
    return "".join(pieces)


def tool_result(content: str, *, first: bool, last: bool) -> str:
    """A tool's result; neighbours share one turn of the user."""
    opening, closing = "<|im_start|>user" if first else "", "<|im_end|>\n" if last else ""
    return f"{opening}\n<tool_response>\n{content}\n</tool_response>{closing}"


def call(given: ToolCall) -> str:
    """`<tool_call>` with one element a parameter."""
    arguments = tooljson.arguments(given.arguments) or {}
    parameters = "".join(f"\n<parameter={key}>\n{argument(value)}\n</parameter>" for key, value in arguments.items())
    return f"<tool_call>\n<function={given.name}>{parameters}\n</function>\n</tool_call>"


def _system(messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    text = next((message.content for message in messages if message.role == "system" and message.content), "")
    if tools:
        listed = "".join(map(_tool, tooljson.tools(tools)))
        text = (
            f"{text or _DEFAULT_SYSTEM}\n\n# Tools\n\nYou have access to the following functions:\n\n"
            f"<tools>{listed}\n</tools>\n\n{CALL_INSTRUCTIONS}"
        )
    return f"<|im_start|>system\n{text}<|im_end|>\n" if text else ""


def _assistant(message: Message, *, open_end: bool) -> str:
    text = f"<|im_start|>assistant\n{message.content}"
    if not message.tool_calls:
        return text if open_end else f"{text}<|im_end|>\n"
    calls = "".join(f"\n{call(given)}" for given in message.tool_calls)
    gap = "\n" if message.content else ""
    return f"{text}{gap}{calls}<|im_end|>\n"


def _tool(tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    parameters: Mapping[str, Any] = function["parameters"]
    properties: Mapping[str, Mapping[str, Any]] = parameters["properties"] or {}
    description = function.get("description", "")
    return (
        f"\n<function>\n<name>{function['name']}</name>"
        + (f"\n<description>{description}</description>" if description else "")
        + "\n<parameters>"
        + "".join(_parameter(name, schema) for name, schema in properties.items())
        + "".join(_member(key, parameters[key]) for key in _PARAMETERS if key in parameters)
        + "\n</parameters>\n</function>"
    )


def _parameter(name: str, schema: Mapping[str, Any]) -> str:
    lines = f"\n<parameter>\n<name>{name}</name>"
    if kinds := schema.get("type"):
        lines += f"\n<type>{kinds if isinstance(kinds, str) else compact(kinds)}</type>"
    if schema.get("description"):
        lines += f"\n<description>{schema['description']}</description>"
    members = "".join(_member(key, schema[key]) for key in _PROPERTY if key in schema)
    return f"{lines}{members}\n</parameter>"


def _member(key: str, value: object) -> str:
    return f"\n<{key}>{argument(in_order_of_keys(value))}</{key}>"


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "qwen3-coder": render
}
