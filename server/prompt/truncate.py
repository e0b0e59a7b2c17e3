"""Drops the oldest messages of a conversation that is too long for the context.

The rule is the reference's: for i = 0, 1, … keep the system messages before i and everything from i on; the first such
conversation that fits is taken, else the last one. How a template's output grows with its messages is the template's
affair, so the candidates are tried one after the other; no bisection would be sure to find the same one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from server.messages import Message
from server.prompt import images

IMAGE_TOKENS: Final = 768
"""What a picture is taken to cost, if the model has a projector."""

Render: TypeAlias = Callable[[Sequence[Message]], Awaitable[str]]
Count: TypeAlias = Callable[[str], Awaitable[int]]


async def fit(
    messages: Sequence[Message], *, limit: int, render: Render, count: Count, has_projector: bool = False
) -> list[Message]:
    """The messages to keep, so that their prompt has at most `limit` tokens (begin-of-sequence not counted).

    `render` makes the prompt of a candidate, `count` its number of tokens. No token stands for less than a byte, so a
    prompt of fewer bytes is never counted. A single message is always kept.
    """
    last = len(messages) - 1
    for index in range(last):
        kept = _from(messages, index)
        extra = IMAGE_TOKENS * images.total(messages[index:]) if has_projector else 0
        if extra <= limit and await _fits(await render(kept), limit - extra, count):
            return kept
    return _from(messages, last) if messages else []


def _from(messages: Sequence[Message], index: int) -> list[Message]:
    return [*(message for message in messages[:index] if message.role == "system"), *messages[index:]]


async def _fits(prompt: str, limit: int, count: Count) -> bool:
    return len(prompt.encode(errors="replace")) < limit or await count(prompt) <= limit
