"""What a parser makes of a model's text."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from server.messages import ToolCall


@dataclass(frozen=True, slots=True)
class Parsed:
    """A piece of the answer: text, reasoning, calls. All may be empty."""

    content: str = ""
    thinking: str = ""
    calls: tuple[ToolCall, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.content or self.thinking or self.calls)

    def __add__(self, other: "Parsed") -> "Parsed":
        return Parsed(self.content + other.content, self.thinking + other.thinking, self.calls + other.calls)


class Thoughts(NamedTuple):
    """The marks around reasoning in one answer."""

    opening: str
    """Empty where the answer begins in the middle of it."""
    closing: str
    variants: tuple[str, ...] = ()
    """Other ways to write the closing mark."""


class Parser(Protocol):
    """Takes the text as it comes, in pieces of any size; the pieces never change the sum of what comes out."""

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        ...

    def finish(self) -> Parsed:
        """What was held back, now that no text follows. Call it once."""
        ...


def held_length(text: str, mark: str) -> int:
    """How many of the last characters could be the beginning of `mark`."""
    for length in range(min(len(text), len(mark) - 1), 0, -1):
        if mark.startswith(text[-length:]):
            return length
    return 0
