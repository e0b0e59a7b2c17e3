"""Parsers that move from place to place in a text: what all of them do with a piece of it."""

from abc import ABC, abstractmethod

from server.parse.parsed import Parsed


class Stepwise(ABC):
    """Takes steps as long as the text so far allows one."""

    def __init__(self) -> None:
        self._held = ""
        """Text that no step has used up."""

    def feed(self, text: str) -> Parsed:
        """What is certain now."""
        self._held += text
        parsed, moved = Parsed(), True
        while moved:
            piece, moved = self._step()
            parsed += piece
        return parsed

    @abstractmethod
    def _step(self) -> tuple[Parsed, bool]:
        """What one step brings; False when more text is needed for the next."""
