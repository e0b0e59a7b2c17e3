"""Marks of pictures and sounds as built-in renderers write them into contents."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from server.messages import Message
from server.prompt.images import PLACEHOLDER


def tagged(messages: Sequence[Message]) -> list[Message]:
    """Each medium's mark `[img-n]` takes the place of a literal `[img]`, or stands in front with a blank after the last
    one. Contents that have marks of their own are left alone, though their media count."""
    numbers = count()
    return [_tagged(message, [f"[img-{next(numbers)}]" for _ in message.images]) for message in messages]


def _tagged(message: Message, marks: list[str]) -> Message:
    content = message.content
    if not marks or "[img-" in content:
        return message
    in_front = ""
    for mark in marks:
        if PLACEHOLDER in content:
            content = content.replace(PLACEHOLDER, mark, 1)
        else:
            in_front += mark
    blank = " " if in_front and content and not content[0].isspace() else ""
    return replace(message, content=f"{in_front}{blank}{content}")
