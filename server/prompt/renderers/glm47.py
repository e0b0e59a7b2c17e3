"""GLM-4.7: turns without any line breaks between them; each answer begins with its reasoning."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from server.messages import Message, Tool
from server.prompt.renderers.glm import BEGINNING, call, described


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt; it always ends in an answer to come, even behind a last answer."""
    pieces = [BEGINNING, described(tools)]
    for at, message in enumerate(messages):
        match message.role:
            case "system" | "user":
                pieces.append(f"<|{message.role}|>{message.content}")
            case "assistant":
                thoughts = f"<think>{message.thinking}</think>" if message.thinking else "</think>"
                pieces.append(f"<|assistant|>{thoughts}{message.content}{''.join(map(call, message.tool_calls))}")
            case "tool":
                opening = "" if at and messages[at - 1].role == "tool" else "<|observation|>"
                pieces.append(f"{opening}<tool_response>{message.content}</tool_response>")
            case _:
                pass  # the format has no turns of other roles
    pieces.append("<|assistant|></think>" if think is False else "<|assistant|><think>")
    return "".join(pieces)


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "glm-4.7": render
}
