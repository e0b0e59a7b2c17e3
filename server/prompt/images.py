"""Where the media of a conversation stand in its text.

The n-th picture or sound of all messages, counted from 0, is marked `[img-n]`; the engine puts its embedding there.
Place the marks after truncation, so that the count runs over what is left.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Final

from server.messages import Message

PLACEHOLDER: Final = "[img]"


def place(messages: Sequence[Message]) -> list[Message]:
    """Marks take the place of literal `[img]`s in the text, one each; the others stand in front of it."""
    numbers = count()
    return [_placed(message, [f"[img-{next(numbers)}]" for _ in message.images]) for message in messages]


def append(messages: Sequence[Message]) -> list[Message]:
    """Marks behind the text, as the engine's own chat templates see media; a literal `[img]` stays text."""
    numbers = count()
    return [
        replace(message, content=message.content + "".join(f"[img-{next(numbers)}]" for _ in message.images))
        for message in messages
    ]


def renamed(prompt: str, count: int, marker: str) -> str:
    """The prompt with each of its `count` marks written as `marker`, the way the reference shows a native prompt."""
    for number in range(count):
        prompt = prompt.replace(f"[img-{number}]", marker, 1)
    return prompt


def total(messages: Sequence[Message]) -> int:
    """How many media the messages carry."""
    return sum(len(message.images) for message in messages)


def collect(messages: Sequence[Message]) -> list[bytes]:
    """All media in the order of their marks."""
    return [image for message in messages for image in message.images]


def _placed(message: Message, marks: list[str]) -> Message:
    prefix, content = "", message.content
    for mark in marks:
        if PLACEHOLDER in content:
            content = content.replace(PLACEHOLDER, mark, 1)
        else:
            prefix += mark
    return replace(message, content=prefix + content)
