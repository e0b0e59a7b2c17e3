"""Drops the oldest messages of a conversation that is too long for the context.

The rule is the reference's. Window i holds the system messages before i and everything from i on; the first window
whose prompt fits is taken, or else the last. A window that is refused (many chat templates want a user's turn first)
does not fit: leaving something out must not turn a good conversation into an error.

Rendering and counting a long conversation takes milliseconds, and an agent's can have hundreds of messages, so the
first window that fits is searched for, with several counted in one round trip. Windows are told apart by how they
begin: by the role of the first message, whether system messages lead, whether there is a question. Among windows of a
kind each has all that the next one has, so a prompt is no longer than the one before it, and the search finds what
trying them in turn would; kinds are searched one after the other, because a template may, say, write the system text
only in front of a question. (Where a template puts nothing at all between two messages, the tokenizer may join their
ends, and a window may be a token or two longer than the one before it.)
"""

import math
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeAlias

from server.messages import Message
from server.prompt import images
from server.prompt.errors import PromptError

IMAGE_TOKENS: Final = 768
"""What a picture is taken to cost, if the model has a projector."""
_OVERHEAD: Final = 16
"""Bytes that a template is taken to write around a message."""
_ESTIMATES: Final = 2
"""Rounds that trust the estimate, before the rest is simply divided."""

Render: TypeAlias = Callable[[Sequence[Message]], Awaitable[str]]
Count: TypeAlias = Callable[[list[str]], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True)
class Room:
    """What a prompt may cost, and what media do."""

    tokens: int
    """The begin of sequence is not counted."""
    media: int = 0
    """Tokens that each medium is taken for."""
    media_of_system: bool = False
    """Count also those in system messages that stay while their neighbours go."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is left of a conversation."""

    messages: list[Message]
    prompt: str
    """As measured."""


async def fit(
    messages: Sequence[Message],
    room: Room,
    *,
    render: Render,
    count: Count,
    refusal: type[Exception] = PromptError,
) -> Window:
    """The messages to keep.

    `render` makes the prompt of a window, `count` the numbers of tokens of prompts. No token stands for less than a
    byte, so a prompt of fewer bytes is never counted. Raises `refusal` only if the whole conversation has no prompt.
    """
    search = _Search(messages, room, render, count, refusal)
    return await search.window(await search.first())


class _Search:
    """For the first window that fits. A window goes by its index; each is rendered and counted at most once."""

    def __init__(
        self, messages: Sequence[Message], room: Room, render: Render, count: Count, refusal: type[Exception]
    ) -> None:
        self._messages = messages
        self._room = room
        self._render = render
        self._count = count
        self._refusal = refusal
        self._prompts: dict[int, str | None] = {}
        self._fitting: dict[int, bool] = {}
        self._tokens: dict[int, int] = {}
        """Of windows that were counted, media included."""
        droppable = [0 if message.role == "system" else _size(message) for message in messages]
        self._dropped = [0, *accumulate(droppable)]
        """Bytes that a window lacks, about."""

    async def window(self, index: int) -> Window:
        prompt = await self._prompt(index)
        assert prompt is not None, "only windows with a prompt are taken"
        return Window(self._kept(index), prompt)

    async def first(self) -> int:
        """The first window that fits; if none does, the last one that has a prompt."""
        if len(self._messages) < 2 or await self._fits(0):
            return 0
        kinds = sorted(self._kinds(), key=len, reverse=True)
        found = len(self._messages)
        while kinds:
            kinds = [earlier for kind in kinds if (earlier := kind[: bisect_left(kind, found)])]
            await self._measure(kind[-1] for kind in kinds)
            kinds = [kind for kind in kinds if self._fitting[kind[-1]]]
            if kinds:
                found = await self._first_of(kinds.pop(0))
        return found if found < len(self._messages) else await self._last()

    async def _last(self) -> int:
        for index in sorted((kind[-1] for kind in self._kinds()), reverse=True):
            if await self._prompt(index) is not None:
                return index
        return 0

    def _kinds(self) -> list[list[int]]:
        """All windows but the whole, sorted by how they begin."""
        asked = max((index for index, message in enumerate(self._messages) if message.role == "user"), default=-1)
        kinds: dict[tuple[str, bool, bool], list[int]] = {}
        led = False
        for index, message in enumerate(self._messages):
            last = index == len(self._messages) - 1
            if index and (last or message.role != "system"):  # else the next window is the same
                kinds.setdefault((message.role, led, index <= asked), []).append(index)
            led = led or message.role == "system"
        return list(kinds.values())

    async def _first_of(self, kind: Sequence[int]) -> int:
        """The first that fits among windows of which the last is known to."""
        low, high, turn = -1, len(kind) - 1, 0
        while high - low > 1:
            tried = self._estimated(kind, low, high) if turn < _ESTIMATES else _divided(low, high)
            await self._measure(kind[place] for place in tried)
            for place in tried:
                if self._fitting[kind[place]]:
                    high = place
                    break
                low = place
            turn += 1
        return kind[high]

    def _estimated(self, kind: Sequence[int], low: int, high: int) -> list[int]:
        """Places between the two, next to where the prompt should be short enough."""
        start, rate = self._nearest(kind[high])
        excess = self._tokens[start] - self._room.tokens + self._media(start)

        def left(index: int) -> float:
            freed = rate * (self._dropped[index] - self._dropped[start]) + self._media(start) - self._media(index)
            return excess - freed

        place = bisect_left(kind, 0, low + 1, high - 1, key=lambda index: -left(index))
        return [near for near in range(place - 1, place + 2) if low < near < high]

    def _nearest(self, high: int) -> tuple[int, float]:
        """The shortest window before that is known to be too long, and the tokens that a dropped byte saves there."""
        start = max(index for index in self._tokens if index < high and not self._fitting[index])
        for other in sorted(self._tokens, key=lambda index: abs(index - start)):
            dropped = self._dropped[other] - self._dropped[start]
            saved = self._tokens[start] - self._tokens[other]
            if dropped * saved > 0:
                return start, saved / dropped
        whole = self._prompts[0] or ""
        return start, self._tokens[0] / max(len(whole.encode(errors="replace")), 1)

    async def _fits(self, index: int) -> bool:
        await self._measure([index])
        return self._fitting[index]

    async def _measure(self, indexes: Iterable[int]) -> None:
        """Find out which windows fit, in one round trip at most."""
        uncertain: dict[int, str] = {}
        for index in indexes:
            if index in self._fitting:
                continue
            prompt, limit = await self._prompt(index), self._room.tokens - self._media(index)
            if prompt is None:
                self._fitting[index] = False
            elif len(prompt.encode(errors="replace")) < limit:
                self._fitting[index] = True
            else:
                uncertain[index] = prompt
        if uncertain:
            counts = await self._count(list(uncertain.values()))
            for index, tokens in zip(uncertain, counts, strict=True):
                self._tokens[index] = tokens
                self._fitting[index] = tokens + self._media(index) <= self._room.tokens

    async def _prompt(self, index: int) -> str | None:
        """The prompt of a window; None if it is refused."""
        if index not in self._prompts:
            try:
                self._prompts[index] = await self._render(self._kept(index))
            except self._refusal:
                if not index:
                    raise
                self._prompts[index] = None
        return self._prompts[index]

    def _kept(self, index: int) -> list[Message]:
        before = self._messages[:index]
        return [*(message for message in before if message.role == "system"), *self._messages[index:]]

    def _media(self, index: int) -> int:
        counted = self._kept(index) if self._room.media_of_system else self._messages[index:]
        return self._room.media * images.total(counted) if self._room.media else 0


def _size(message: Message) -> int:
    texts = (message.content, *(str(call.arguments) for call in message.tool_calls))
    return _OVERHEAD + sum(len(text.encode(errors="replace")) for text in texts)


def _divided(low: int, high: int) -> list[int]:
    """Places that cut what is between the two in four."""
    quarter = (high - low) / 4
    return sorted({place for part in (1, 2, 3) if low < (place := low + math.ceil(quarter * part)) < high})
