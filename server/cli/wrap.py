"""Word wrap for text that arrives in pieces: a word that turns out too long for the line is taken back and moved."""

from server.cli.tables import width

MARGIN = 5
"""Columns left free at the right edge."""


class Wrapper:
    """Keeps the column; `feed` gives what to write for the next piece of text."""

    def __init__(self, columns: int) -> None:
        self._limit = max(columns - MARGIN, 1)
        self._column = 0
        self._word = ""
        """What of the current word stands on the line already."""

    def feed(self, text: str) -> str:
        return "".join(map(self._feed, text))

    def _feed(self, char: str) -> str:
        if char == "\n":
            self._column, self._word = 0, ""
            return char
        size = width(char)
        if self._column + size <= self._limit:
            return self._put(char, size)
        if char == " ":
            self._column, self._word = 0, ""
            return "\n"
        back, word = width(self._word), self._word
        if not 0 < back < self._column:
            self._column, self._word = 0, ""
            return "\n" + self._put(char, size)
        self._column = back
        return f"\x1b[{back}D\x1b[K\n{word}{self._put(char, size)}"

    def _put(self, char: str, size: int) -> str:
        """Wide characters need no blank to be parted."""
        self._column += size
        self._word = "" if char == " " or size == 2 else self._word + char
        return char
