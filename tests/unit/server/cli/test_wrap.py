"""Words moved to the next line while they arrive."""

import re

from hypothesis import given
from hypothesis import strategies as st

from server.cli.wrap import MARGIN, Wrapper


def screen(written: str) -> list[str]:
    """The lines that a terminal shows: cursor left, erase to the end of the line, line feed."""
    lines = [""]
    for part in re.findall(r"\x1b\[\d+D|\x1b\[K|\n|[^\x1b\n]+", written):
        if part == "\n":
            lines.append("")
        elif part.endswith("D"):
            lines[-1] = lines[-1][: -int(part[2:-1])]
        elif part != "\x1b[K":
            lines[-1] += part
    return lines


def test_a_word_that_does_not_fit_moves_to_the_next_line() -> None:
    assert Wrapper(15).feed("hello wonderful") == "hello wond\x1b[4D\x1b[K\nwonderful"


def test_pieces_make_no_difference() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    wrapper = Wrapper(20)
    assert "".join(map(wrapper.feed, text)) == Wrapper(20).feed(text)


def test_a_word_longer_than_the_line_is_broken() -> None:
    assert screen(Wrapper(15).feed("a" * 25)) == ["a" * 10, "a" * 10, "a" * 5]


def test_line_feeds_are_kept() -> None:
    assert Wrapper(80).feed("a\n\nb\n") == "a\n\nb\n"


@given(st.text("abc de\n", max_size=200), st.integers(10, 40))
def test_lines_keep_the_limit_and_no_letter_is_lost(text: str, columns: int) -> None:
    lines = screen(Wrapper(columns).feed(text))
    assert all(len(line) <= columns - MARGIN for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")
