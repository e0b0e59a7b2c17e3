"""Text and nothing else: what follows reasoning where a family writes no calls."""

from typing import Final

from server.parse.parsed import Parsed, Thoughts


class PlainText:
    """Hands on what comes."""

    def __init__(self) -> None:
        self.thoughts: Final[Thoughts | None] = None

    def feed(self, text: str) -> Parsed:
        """The text."""
        return Parsed(text)

    def finish(self) -> Parsed:
        """Nothing."""
        return Parsed()
