"""Qwen3-VL: ChatML with pictures, tools and calls as JSON, reasoning kept since the last question."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers.media import tagged
from server.prompt.renderers.notation import spaced
from server.prompt.renderers.questions import last_question, result_at

_BEFORE_TOOLS: Final = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>"""
_AFTER_TOOLS: Final = """
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None, *, thinks: bool) -> str:
    """The prompt; `thinks` where the request does not say."""
    thinks = thinks if think is None else bool(think)
    messages = tagged(messages)
    question = last_question(messages)
    pieces = [_system(messages, tools)]
    for index, message in enumerate(messages):
        last = index == len(messages) - 1
        if message.role == "assistant":
            reasons = thinks and index > question and (last or bool(message.thinking))
            pieces.append(_assistant(message, reasons=reasons) + ("" if last else "<|im_end|>\n"))
        elif message.role == "tool":
            pieces.append(result_at(messages, index))
        elif message.role == "user" or (message.role == "system" and index):
            pieces.append(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n")
    if not messages or messages[-1].role != "assistant":
        pieces.append("<|im_start|>assistant\n" + ("<think>\n" if thinks else ""))
    return "".join(pieces)


def _system(messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    leads = bool(messages) and messages[0].role == "system"
    pieces = [messages[0].content] if leads else []
    if tools:
        listed = "".join(f"\n{spaced(tool)}" for tool in tooljson.tools(tools))
        pieces.append(f"{_BEFORE_TOOLS}{listed}{_AFTER_TOOLS}")
    text = "\n\n".join(pieces)
    return f"<|im_start|>system\n{text}<|im_end|>\n" if pieces else ""


def _assistant(message: Message, *, reasons: bool) -> str:
    text = "<|im_start|>assistant\n"
    if reasons:
        text += "<think>\n" + message.thinking.strip("\n")
        text += "\n</think>\n\n" + message.content.lstrip("\n") if message.content else ""
    else:
        text += message.content
    gap = "\n" if message.content and message.tool_calls else ""
    return text + gap + "\n".join(map(_call, message.tool_calls))


def _call(given: ToolCall) -> str:
    arguments = spaced(tooljson.arguments(given.arguments) or {})
    return f'<tool_call>\n{{"name": "{given.name}", "arguments": {arguments}}}\n</tool_call>'


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "qwen3-vl-instruct": partial(render, thinks=False),
    "qwen3-vl-thinking": partial(render, thinks=True),
}
