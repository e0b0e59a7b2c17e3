"""Stop strings are found as if each were looked for at each place."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.text.stops import StopStrings

FEW_LETTERS = st.text("ab]^-\\é", max_size=6)
"""Letters that make stop strings overlap, and those that mean something inside a pattern."""


def first_complete(text: bytes, stops: list[str]) -> int:
    return min((at for stop in stops if stop and (at := text.find(stop.encode())) >= 0), default=-1)


def may_go_on(text: bytes, stops: list[str]) -> bool:
    return any(text.endswith(stop.encode()[:size]) for stop in stops for size in range(1, len(stop.encode())))


@given(st.lists(FEW_LETTERS, max_size=6), st.text("ab]^-\\é", max_size=30), st.data())
def test_as_if_each_were_looked_for_at_each_place(stops: list[str], text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    strings = StopStrings(stops)
    held, begun = b"", list[int]()
    for a, b in itertools.pairwise([0, *cuts, len(raw)]):
        start, held = len(held), held + raw[a:b]
        cut, begun = strings.scan(held, start, begun)
        assert cut == first_complete(held, stops)
        if cut >= 0:
            return
        assert bool(begun) == may_go_on(held, stops)
        if not begun:
            held = b""


@pytest.mark.parametrize("stops", [[], [""]])
def test_without_stop_strings_nothing_stops(stops: list[str]) -> None:
    assert StopStrings(stops).scan(b"abc", 0, []) == (-1, [])


def test_one_that_begins_with_another_never_gets_its_turn() -> None:
    assert StopStrings(["abc", "ab"]).scan(b"xabc", 0, []) == (1, [])
    assert StopStrings(["abc", "ab"]).scan(b"xa", 0, []) == (-1, [1])


def test_a_hundred_thousand_of_them() -> None:
    """A list as a hostile client would send it: what follows a place is looked up, not compared with each."""
    strings = StopStrings([f"stop {number:06}" for number in range(100_000)])
    text = b"stop 0stop 099999x"
    assert strings.scan(text, 0, []) == (6, [])
    assert strings.scan(text[:12], 0, []) == (-1, [6])


def test_one_of_a_million_letters() -> None:
    strings = StopStrings(["ab" * 500_000])
    assert strings.scan(b"xab", 0, []) == (-1, [1])
    assert strings.scan(b"xabab", 3, [1]) == (-1, [1, 3])
    assert strings.scan(b"xababb", 5, [1, 3]) == (-1, [])
