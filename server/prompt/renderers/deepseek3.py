"""DeepSeek V3.1: one system text in front, tools in Markdown, calls as a name and JSON between marks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.notation import compact

CALL_INSTRUCTIONS: Final = """
IMPORTANT: ALWAYS adhere to this exact format for tool use:
<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>\
{{additional_tool_calls}}<｜tool▁calls▁end｜>

Where:

- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces
"""
"""The text that the model was trained with (spec: prompting §7.7)."""


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt. Only after a question an answer is opened: behind a tool's result the model goes on by itself."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    pieces = ["<｜begin▁of▁sentence｜>", system, _tools(tools)]
    last_question = max((index for index, message in enumerate(messages) if message.role == "user"), default=-1)
    before = ""
    for index, message in enumerate(messages):
        if message.role == "user":
            pieces.append(f"<｜User｜>{message.content}")
        elif message.role == "assistant":
            if before == "user":
                pieces.append(_opening(message, thinks=bool(think) and index > last_question))
            pieces.append(_answer(message, concludes=before == "tool"))
        elif message.role == "tool":
            pieces.append(f"<｜tool▁output▁begin｜>{message.content}<｜tool▁output▁end｜>")
        else:
            continue
        before = message.role
    if before == "user":
        pieces.append("<｜Assistant｜><think>" if think else "<｜Assistant｜></think>")
    return "".join(pieces)


def _tools(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    listed = "".join(map(_tool, tooljson.tools(tools)))
    return f"\n\n## Tools\nYou have access to the following tools:\n{listed}{CALL_INSTRUCTIONS}"


def _tool(tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    description, parameters = function.get("description", ""), compact(function["parameters"])
    return f"\n### {function['name']}\nDescription: {description}\n\nParameters: {parameters}\n"


def _opening(message: Message, *, thinks: bool) -> str:
    opened = thinks and message.thinking and not message.tool_calls
    return "<｜Assistant｜><think>" if opened else "<｜Assistant｜></think>"


def _answer(message: Message, *, concludes: bool) -> str:
    """`concludes`: it follows a tool's result, and is written as it is."""
    if message.tool_calls:
        calls = "".join(map(_call, message.tool_calls))
        return f"{message.content}<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜><｜end▁of▁sentence｜>"
    _, mark, answer = message.content.partition("</think>")
    return (answer if mark and not concludes else message.content) + "<｜end▁of▁sentence｜>"


def _call(given: ToolCall) -> str:
    arguments = compact(tooljson.arguments(given.arguments))
    return f"<｜tool▁call▁begin｜>{given.name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>"


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "deepseek3.1": render,
    "deepseek3": render,  # what imported models call it
}
