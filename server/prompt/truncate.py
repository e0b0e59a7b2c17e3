"""Drops the oldest messages of a conversation that is too long for the context.

The rule is the reference's: for i = 0, 1, … keep the system messages before i and everything from i on; the first such
conversation that fits is taken, else the last one. Rendering and counting a long conversation takes milliseconds, and
an agent's can have hundreds of messages, so the first that fits is found by bisection. That is the same one wherever
dropping a message does not make a prompt longer.
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

    async def fits(index: int) -> bool:
        kept = _from(messages, index)
        extra = IMAGE_TOKENS * images.total(messages[index:]) if has_projector else 0
        return extra <= limit and await _fits(await render(kept), limit - extra, count)

    if last <= 0 or await fits(0):
        return list(messages)
    low, high = 0, last  # low does not fit, and high is taken as it is
    while high - low > 1:
        middle = (low + high) // 2
        if await fits(middle):
            high = middle
        else:
            low = middle
    return _from(messages, high)


def _from(messages: Sequence[Message], index: int) -> list[Message]:
    return [*(message for message in messages[:index] if message.role == "system"), *messages[index:]]


async def _fits(prompt: str, limit: int, count: Count) -> bool:
    return len(prompt.encode(errors="replace")) < limit or await count(prompt) <= limit
