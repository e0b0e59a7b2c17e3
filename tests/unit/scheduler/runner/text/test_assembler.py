"""Stop strings, characters cut by token borders, and the loop guard."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.frames import Logprob
from scheduler.runner.text.assembler import TextAssembler
from scheduler.runner.text.stops import StopStrings


def assemble(pieces: list[bytes], stops: list[str]) -> tuple[list[str], TextAssembler]:
    text = TextAssembler(stops)
    said: list[str] = []
    for piece in pieces:
        said.append(text.push(piece))
        if text.stopped:
            return said, text
    said.append(text.finish())
    return said, text


def test_nothing_is_said_while_a_stop_string_may_be_beginning() -> None:
    text = TextAssembler(["END"])
    assert [text.push(piece) for piece in (b"E", b"N", b"X")] == ["", "", "ENX"]


def test_the_earliest_stop_string_wins_over_the_order_of_the_list() -> None:
    said, text = assemble([b"xab"], ["b", "a"])
    assert said == ["x"]
    assert text.stopped


def test_what_was_held_for_a_stop_string_is_said_at_the_end() -> None:
    said, _ = assemble([b"E", b"N"], ["END"])
    assert said == ["", "", "EN"]


@pytest.mark.parametrize(
    ("pieces", "stop", "kept"),
    [
        ([b"hello", b"world"], "world", "hello"),
        ([b"hello", b"wor"], "or", "hellow"),
        ([b"Hello", b" there", b"!"], "!", "Hello there"),
        ([b"Hello", b" the", b"re!"], "there!", "Hello "),
        ([b"hello", b" wor"], "llo w", "he"),
    ],
)
def test_a_stop_string_is_cut_across_pieces(pieces: list[bytes], stop: str, kept: str) -> None:
    said, text = assemble(pieces, [stop])
    assert "".join(said) == kept
    assert text.stopped


def test_a_character_of_several_tokens_comes_whole() -> None:
    said, _ = assemble([b"hi \xf0\x9f", b"\x98", b"\x80"], [])
    assert said == ["", "", "hi \U0001f600", ""]


def test_a_character_that_never_ends_is_dropped() -> None:
    said, _ = assemble([b"hi", b"\xf0\x9f"], [])
    assert "".join(said) == "hi"


def test_a_wrong_byte_in_the_middle_becomes_a_replacement_character() -> None:
    said, _ = assemble([b"a\xffb"], [])
    assert "".join(said) == "a\ufffdb"


@pytest.mark.parametrize(
    ("end", "incomplete"),
    [
        ("", False), ("c2a3", False), ("e0a080", False), ("f0928ab7", False), ("80", False), ("ff", False),
        ("c2", True), ("e0a0", True), ("e0", True), ("f0928a", True), ("f092", True), ("f0", True),
    ],
)  # fmt: skip
def test_the_beginning_of_a_character_waits_for_the_rest(end: str, incomplete: bool) -> None:
    text = TextAssembler()
    assert (text.push(b"hi" + bytes.fromhex(end)) == "") == incomplete


def test_entries_of_a_held_character_come_with_it() -> None:
    text = TextAssembler()
    entries = [Logprob("?", -1.0, raw=b"\xc3"), Logprob("?", -2.0, raw=b"\xa9")]
    assert text.push(b"\xc3", entries[0]) == ""
    assert text.push(b"\xa9", entries[1]) == "\xe9"
    assert text.logprobs == entries


def test_stop_strings_may_be_prepared_before_and_shared() -> None:
    stops = StopStrings(["END"])
    first, second = TextAssembler(stops), TextAssembler(stops)
    assert (first.push(b"EN"), second.push(b"D")) == ("", "D")
    assert (first.push(b"D"), first.stopped, second.stopped) == ("", True, False)


def test_empty_stop_strings_are_ignored() -> None:
    said, text = assemble([b"abc"], [""])
    assert "".join(said) == "abc"
    assert not text.stopped


def test_log_probabilities_wait_with_their_text_and_fall_with_it() -> None:
    text = TextAssembler(["END"])
    entries = [Logprob(piece, -1.0) for piece in ("so ", "E", "ND")]
    assert text.push(b"so ", entries[0]) == "so "
    assert text.logprobs == entries[:1]
    assert text.push(b"E", entries[1]) == ""
    assert text.logprobs == []
    assert text.push(b"ND", entries[2]) == ""
    assert text.stopped
    assert text.logprobs == []


def test_31_equal_pieces_are_a_loop_and_blank_ones_are_equal() -> None:
    text = TextAssembler()
    for _ in range(31):
        text.push(b"\n")
    assert text.looping


def test_a_change_of_piece_is_not_a_loop() -> None:
    text = TextAssembler()
    for index in range(100):
        text.push(b"a" if index % 30 else b"b")
    assert not text.looping


@given(st.text(), st.lists(st.text(min_size=1, max_size=3), max_size=3), st.data())
def test_pieces_do_not_matter(text: str, stops: list[str], data: st.DataObject) -> None:
    """However the bytes are cut, the text up to the first stop string comes out, once."""
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    borders = [0, *cuts, len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(borders)]
    said, _ = assemble(pieces, stops)
    end = min((at for stop in stops if (at := raw.find(stop.encode())) >= 0), default=len(raw))
    expected = raw[:end].decode("utf-8", "replace")
    assert "".join(said) == expected
