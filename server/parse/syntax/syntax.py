"""How a model writes its tool calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from server.messages import Tool
from server.parse.parsed import Thoughts
from server.parse.syntax.rules import Rules

Write: TypeAlias = Callable[[Sequence[Tool], bool], Rules]
"""The grammar for calls of these tools (at least one). With the flag there may be several calls, else exactly one."""


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """The form of calls in the text of one family of models.

    `write` makes a grammar with two rules. `calls` is everything from the first call's beginning to the last one's end;
    `rest` is what follows an opening that the model has written, to the end of that call, or of the block that it
    begins. Whatever they admit, the family's parser reads as calls.
    """

    openings: tuple[str, ...]
    """Texts with which a call begins beyond doubt: from the end of one on, the text must be a call."""
    write: Write
    at_start: bool = False
    """They mean a call only where an answer begins with them."""
    anywhere: bool = False
    """They mean a call in the middle of reasoning, too."""
    thoughts: Thoughts | None = None
    """The reasoning in front of a call, where it ends otherwise than in front of text."""
    lead: tuple[str, ...] = ()
    """With `thoughts`: the marks that stand between their end and text, each of which may be left out."""
