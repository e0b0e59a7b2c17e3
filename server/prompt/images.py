"""Where the media of a conversation stand in its text.

The n-th picture or sound of all messages, counted from 0, is marked `[img-n]`; the engine puts its embedding there.
Place the marks after truncation, so that the count runs over what is left.

What merely looks like a mark, because somebody wrote `[img-5]`, stays text: it is guarded by a character within, which
`unguarded` and the engine take out again. Only conversations with media need that.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final, cast

from server.messages import Message, ToolCall

PLACEHOLDER: Final = "[img]"
GUARDED: Final = "[img\ufdd0-"
"""`[img-` that begins no mark. The character within is none of Unicode's, for a process's own use."""
_BEGINNING: Final = "[img-"


def place(messages: Sequence[Message]) -> list[Message]:
    """Marks take the place of literal `[img]`s in the text, one each; the others stand in front of it."""
    return _marked(messages, lambda message, marks: _placed(guarded(message), marks))


def place_missing(messages: Sequence[Message]) -> list[Message]:
    """The same for media whose marks are not in their message already, where whoever wrote it may do so himself."""
    return _marked(messages, _completed)


def append(messages: Sequence[Message]) -> list[Message]:
    """Marks behind the text, as the engine's own chat templates see media; a literal `[img]` stays text."""

    def appended(message: Message, marks: list[str]) -> Message:
        message = guarded(message)
        return replace(message, content=message.content + "".join(marks))

    return _marked(messages, appended)


def leave(messages: Sequence[Message]) -> list[Message]:
    """For whatever places marks itself in messages without any: only a message that has some gets the others too."""

    def left(message: Message, marks: list[str]) -> Message:
        begun = any(mark in message.content for mark in marks)
        return _completed(message, marks) if begun else guarded(message)

    return _marked(messages, left)


def guarded(message: Message, marks: Sequence[str] = ()) -> Message:
    """The message, where only `marks` are marks; whatever else looks like one is text."""
    content = literal(message.content)
    for mark in marks:
        content = content.replace(literal(mark), mark)
    calls = [_call(call) for call in message.tool_calls]
    return replace(message, content=content, thinking=literal(message.thinking), tool_calls=calls)


def literal(text: str) -> str:
    """Text without marks that reads the same once `unguarded`."""
    return text.replace(_BEGINNING, GUARDED)


def unguarded(prompt: str) -> str:
    """The prompt as it is read."""
    return prompt.replace(GUARDED, _BEGINNING)


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


def _marked(messages: Sequence[Message], mark: Callable[[Message, list[str]], Message]) -> list[Message]:
    """Each message with the marks of its media; as they are where there are no media."""
    if not total(messages):
        return list(messages)
    numbers = count()
    return [mark(message, [f"[img-{next(numbers)}]" for _ in message.images]) for message in messages]


def _placed(message: Message, marks: Sequence[str]) -> Message:
    prefix, content = "", message.content
    for mark in marks:
        if PLACEHOLDER in content:
            content = content.replace(PLACEHOLDER, mark, 1)
        else:
            prefix += mark
    return replace(message, content=prefix + content)


def _completed(message: Message, marks: list[str]) -> Message:
    missing = [mark for mark in marks if mark not in message.content]
    return _placed(guarded(message, marks), missing)


def _call(call: ToolCall) -> ToolCall:
    return replace(call, arguments=_guarded_within(call.arguments))


def _guarded_within(value: Any) -> Any:
    """The same JSON with guarded texts."""
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, list):
        return [_guarded_within(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _guarded_within(item) for key, item in cast("dict[str, Any]", value).items()}
    return value
