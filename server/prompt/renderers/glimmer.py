"""Muse Glimmer: messages with a recipient; thoughts go to `self`, calls to the tool, answers to the user."""

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers import media
from server.prompt.renderers.notation import argument, plain

_END: Final = "<|eot|>"
_CUTOFF: Final = "2026-01-04"
_BEFORE_TOOLS: Final = """\
In this environment you have access to a set of tools you can use to answer the user's question.

You can invoke a function by writing a "<atem:function_calls>" block like the following:
<atem:function_calls>
<atem:invoke name="$FUNCTION_NAME">
<atem:parameter name="$PARAMETER_NAME">$PARAMETER_VALUE</atem:parameter>
...
</atem:invoke>
</atem:function_calls>

String and scalar parameters should be specified as is, while lists and objects should use JSON format. Note that \
spaces for string values are not stripped. The output is not expected to be valid XML and is parsed with regular \
expressions.
Here are the functions available in JSONSchema format:
// Tool metadata
"""
_BEHIND_TOOLS: Final = """

Here's an example of how to call a function in the tool set:
(If the tool namespace is not specified, invoke the function directly as `example_function_name` rather than \
`example_tool_name.example_function_name`)

to=example_tool_name.example_function_name

<atem:function_calls>
<atem:invoke name="example_tool_name.example_function_name">
<atem:parameter name="example_parameter_1">value_1</atem:parameter>
<atem:parameter name="example_parameter_2">This is the value for the second parameter
that can span
"multiple" lines
</atem:parameter>
</atem:invoke>
</atem:function_calls>"""
"""The texts that models of this kind were trained with (spec: prompting §7.18)."""
_STRENGTHS: Final = {
    "reasoning effort": "reasoning strength",
    "Reasoning effort": "Reasoning strength",
    "Reasoning Effort": "Reasoning Strength",
    "REASONING EFFORT": "REASONING STRENGTH",
}
_EFFORT: Final = re.compile("|".join(_STRENGTHS))


def render(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    think: bool | str | None,
    *,
    today: Callable[[], datetime.date] = datetime.date.today,
) -> str:
    """The prompt; it always ends in an answer to come. `think` is the strength of reasoning: high unless it says."""
    turns = media.tagged(messages)
    strength = think if isinstance(think, str) else "none" if think is False else "high"
    told = f"{_described(tools)}\n\n{_recipients(tools)}{_END}"
    pieces = ["<|begin_of_text|>"]
    if not any(turn.role == "system" for turn in turns):
        pieces.append(
            "<|start|>system<|message|>You are a helpful AI assistant.\n"
            f"Knowledge cutoff: {_CUTOFF}.\nCurrent date: {today().isoformat()}.\n\n"
            f"Reasoning strength: {strength}.{told}"
        )
    names: dict[str, str] = {}
    for at, turn in enumerate(turns):
        names |= {call.id: call.name for call in turn.tool_calls if call.id}
        match turn.role:
            case "system":
                pieces.append(f"<|start|>system<|message|>{_instructions(turn.content, strength)}{told}")
            case "user":
                pieces.append(f"<|start|>user<|message|>{turn.content}{_END}")
            case "tool":
                name = turn.tool_name or names.get(turn.tool_call_id, turn.tool_call_id)
                pieces.append(_result(name, turn.content))
            case "assistant":
                goes_on = at + 1 < len(turns) and turns[at + 1].role == "assistant"
                pieces.append(_answer(turn, goes_on=goes_on))
            case _:
                pass  # the format has no messages of other roles
    return "".join(pieces) + "<|start|>assistant"


def _instructions(text: str, strength: str) -> str:
    """A system text that names the strength, in the words that the models know."""
    text = _EFFORT.sub(lambda found: _STRENGTHS[found[0]], text)
    named = "reasoning strength" in text.lower()
    return text if named else f"{text}\n\nReasoning strength: {strength}."


def _namespaces(tools: Sequence[Tool]) -> list[str]:
    return list(dict.fromkeys(tool.name.partition(".")[0] for tool in tools))


def _recipients(tools: Sequence[Tool]) -> str:
    listed = "".join(f', "{name}.*"' for name in _namespaces(tools))
    return f'# Valid recipients: "self"{listed}, "user".'


def _described(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    spaces = "\n".join(plain({"name": name, "description": ""}) for name in _namespaces(tools))
    listed = "".join(f"\n{_tool(tool)}" for tool in tooljson.tools(tools))
    return f"\n\n{_BEFORE_TOOLS}{spaces}\n// Function schemas{listed}{_BEHIND_TOOLS}"


def _tool(tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    described = {"name": function["name"], "description": function.get("description", "")}
    return plain(described | {"parameters": function["parameters"]})


def _answer(message: Message, *, goes_on: bool) -> str:
    """`goes_on`: another message of the model follows."""
    pieces: list[str] = []
    if message.thinking:
        pieces.append(f"<|start|>assistant to=self<|message|>{message.thinking}<|eom|>")
    if message.tool_calls:
        calls = "<|eom|>".join(map(_call, message.tool_calls))
        pieces.append(calls + ("<|eom|>" if goes_on else _END))
    elif message.content or not message.thinking:
        pieces.append(f"<|start|>assistant to=user<|message|>{message.content}{_END}")
    return "".join(pieces)


def _call(given: ToolCall) -> str:
    arguments = tooljson.arguments(given.arguments) or {}
    parameters = "".join(
        f'<atem:parameter name="{key}">{_value(value)}</atem:parameter>\n' for key, value in arguments.items()
    )
    return (
        f"<|start|>assistant to={given.name}<|message|><atem:function_calls>\n"
        f'<atem:invoke name="{given.name}">\n{parameters}</atem:invoke>\n</atem:function_calls>'
    )


def _value(value: object) -> str:
    nested = not isinstance(value, str | int | float | None)
    return plain(value) if nested else argument(value)


def _result(name: str, content: str) -> str:
    output = f'<tool_output name="{name}">\n{content}\n</tool_output>'
    return f"<|start|>tool {name}<|message|>{output}{_END}"


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "glimmer": render
}
