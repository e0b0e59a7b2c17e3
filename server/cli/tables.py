"""The two kinds of tables: a listing with a header line, and a titled section of indented rows."""

import unicodedata
from collections.abc import Sequence
from typing import Final

GAP: Final = "    "
CELL: Final = 30
"""Columns at which a cell of a section is broken between words."""
WIDE_CELL: Final = 100


def width(text: str) -> int:
    """Columns that a text takes: two for wide East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def listing(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Header, then rows. Every cell is padded and followed by four blanks, the header's last one by a single blank."""
    widths = [max(map(width, column)) for column in zip(header, *rows, strict=True)]
    head = GAP.join(_padded(cell, size) for cell, size in zip(header, widths, strict=True)) + " "
    return "".join(f"{line}\n" for line in (head, *(_line(row, widths) for row in rows)))


def section(title: str, rows: Sequence[Sequence[str]], cell: int = CELL) -> str:
    """A title, its rows, and a blank line. Rows may differ in their number of cells; long cells run over more lines."""
    broken = [[wrapped(text, cell) for text in row] for row in rows]
    widths = [
        max(width(line) for row in broken if column < len(row) for line in row[column])
        for column in range(max(map(len, rows), default=0))
    ]
    lines = [f"  {title}"]
    for row in broken:
        for at in range(max(map(len, row), default=0)):
            lines.append(GAP + _line([part[at] if at < len(part) else "" for part in row], widths))
    return "\n".join([*lines, "", ""])


def wrapped(text: str, limit: int) -> list[str]:
    """Lines of at most `limit` columns, broken between words so that their ends are as even as can be.

    A text that fits stays as it is, inner blanks included. A word that is longer than the limit sets its own.
    """
    if width(text) <= limit:
        return [text]
    words = text.split(" ") if text.strip(" ") else [text]
    words = [word for word in words if word]
    limit = max(limit, *map(width, words))
    return [" ".join(words[start:end]) for start, end in _even_breaks([width(word) for word in words], limit)]


def _even_breaks(sizes: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Least sum of squared blanks at the line ends, the last line not counted; found from the last word backwards."""
    count = len(sizes)
    best = [(0, count)] * (count + 1)
    for start in reversed(range(count)):
        line, choice = -1, (1 << 62, start + 1)
        for end in range(start + 1, count + 1):
            line += sizes[end - 1] + 1
            if line > limit:
                break
            cost = 0 if end == count else (limit - line) ** 2 + best[end][0]
            choice = min(choice, (cost, end), key=lambda option: option[0])
        best[start] = choice
    breaks, start = list[tuple[int, int]](), 0
    while start < count:
        breaks.append((start, best[start][1]))
        start = best[start][1]
    return breaks


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(_padded(cell, size) + GAP for cell, size in zip(cells, widths, strict=False))


def _padded(cell: str, size: int) -> str:
    return cell + " " * (size - width(cell))
