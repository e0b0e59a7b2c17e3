"""The message list that a request stands for: what the model brings along, what the request says, what is left out."""

from collections.abc import Sequence
from dataclasses import replace

from server.messages import Message
from server.parse.thinking import ThinkingParser


def for_chat(requested: Sequence[Message], history: Sequence[Message] = (), system: str = "") -> list[Message]:
    """The model's history, then the request. Its system text leads, unless the request begins with one of its own."""
    leads = bool(system) and (not requested or requested[0].role != "system")
    return [*([Message("system", system)] if leads else ()), *history, *requested]


def for_generate(
    prompt: str, images: Sequence[bytes] = (), system: str = "", history: Sequence[Message] | None = None
) -> list[Message]:
    """The prompt as one user message. `history` is None where the request brings its own context."""
    leads = [Message("system", system)] if system else []
    return [*leads, *(history or ()), Message("user", prompt, images=list(images))]


def without_old_thinking(messages: Sequence[Message]) -> list[Message]:
    """Answers before the last question lose a leading `<think>…</think>` in their text (qwen3, deepseek-r1)."""
    last_user = max((index for index, message in enumerate(messages) if message.role == "user"), default=-1)
    return [
        replace(message, content=_answer(message.content))
        if index < last_user and message.role == "assistant"
        else message
        for index, message in enumerate(messages)
    ]


def _answer(text: str) -> str:
    parser = ThinkingParser("<think>", "</think>")
    return parser.feed(text).content + parser.finish().content
