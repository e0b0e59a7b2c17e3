"""Both kinds of tables, blank by blank."""

from hypothesis import given
from hypothesis import strategies as st

from server.cli import tables

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=12)


def test_a_listing_pads_every_cell_of_a_row_and_all_but_the_end_of_the_header() -> None:
    rows = [("model1", "abc123", "1.0 KB"), ("m2", "def4567", "2 B")]
    assert tables.listing(("NAME", "ID", "SIZE"), rows) == (
        "NAME      ID         SIZE   \nmodel1    abc123     1.0 KB    \nm2        def4567    2 B       \n"
    )


def test_a_listing_without_rows_is_its_header() -> None:
    assert tables.listing(("NAME", "ID", "SIZE", "MODIFIED"), []) == "NAME    ID    SIZE    MODIFIED \n"


def test_a_section_indents_its_rows_and_ends_with_a_blank_line() -> None:
    assert tables.section("Model", [["architecture", "llama"], ["parameters", "8.0B"]]) == (
        "  Model\n    architecture    llama    \n    parameters      8.0B     \n\n"
    )


def test_rows_of_a_section_may_differ_in_length() -> None:
    assert (
        tables.section("P", [["stop", "a", "b"], ["seed", "1"]]) == "  P\n    stop    a    b    \n    seed    1    \n\n"
    )


def test_a_long_cell_runs_over_several_rows() -> None:
    text = "one two three four five six seven eight"
    assert tables.section("T", [["key", text]]) == (
        "  T\n    key    one two three four five six    \n           seven eight                    \n\n"
    )


def test_wide_characters_take_two_columns() -> None:
    assert tables.width("日本") == 4
    assert tables.width("e\u0301") == 1
    assert tables.listing(("A", "B"), [("日本", "x")]) == "A       B \n日本    x    \n"


def test_a_cell_that_fits_keeps_its_blanks() -> None:
    assert tables.wrapped("a  b", 30) == ["a  b"]
    assert tables.wrapped("", 30) == [""]


@given(WORDS, st.integers(1, 40))
def test_wrapping_loses_no_word_and_keeps_the_limit_where_words_allow_it(words: list[str], limit: int) -> None:
    lines = tables.wrapped(" ".join(words), limit)
    assert " ".join(lines).split() == words
    assert all(len(line) <= max(limit, *map(len, words)) for line in lines)
