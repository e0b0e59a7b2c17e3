"""GLM-OCR: GLM's turns with line breaks, and pictures. Whether to think is the model's choice, unless forbidden."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from server.messages import Message, Tool
from server.prompt.renderers import media
from server.prompt.renderers.glm import BEGINNING, call, described

_NO_THOUGHTS: Final = "/nothink"


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None) -> str:
    """The prompt; it always ends in an answer to come, even behind a last answer."""
    pieces = [BEGINNING, described(tools)]
    messages = media.tagged(messages)
    for at, message in enumerate(messages):
        match message.role:
            case "system":
                pieces.append(f"<|system|>\n{message.content}\n")
            case "user":
                silent = think is False and not message.content.endswith(_NO_THOUGHTS)
                pieces.append(f"<|user|>\n{message.content}{_NO_THOUGHTS if silent else ''}")
            case "assistant":
                pieces.append(_answer(message))
            case "tool":
                opening = "" if at and messages[at - 1].role == "tool" else "<|observation|>"
                pieces.append(f"{opening}\n<tool_response>\n{message.content}\n</tool_response>\n")
            case _:
                pass  # the format has no turns of other roles
    pieces.append("<|assistant|>\n" + ("<think></think>\n" if think is False else ""))
    return "".join(pieces)


def _answer(message: Message) -> str:
    parts = [f"<think>{message.thinking.strip()}</think>", message.content.strip(), *map(call, message.tool_calls)]
    return "<|assistant|>\n" + "".join(f"{part}\n" for part in parts if part)


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "glm-ocr": render
}
