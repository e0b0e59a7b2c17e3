"""JavaScript's regular expressions, as far as automata go."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.constrain.schema.patterns import is_malformed, split


@pytest.mark.parametrize(
    ("pattern", "every", "dropped"),
    [
        ("a(?=b)", ["a(?=b)"], False),
        ("^a$", ["^a$"], False),
        ("^(?=.*[)])x", ["^(?:.*[)])", "^x"], False),
        (r"^(?=\)a)(?!b(c))d$", [r"^(?:\)a)", "^d$"], True),
        ("^(?=a", ["^(?=a"], False),
        ("^(?!a)", ["^"], True),
    ],
)
def test_look_aheads_at_the_beginning_become_patterns(pattern: str, every: list[str], dropped: bool) -> None:
    assert split(pattern) == (every, dropped)


@given(st.from_regex(r"\A\^(\(\?=\.\*[a-c]\)){1,3}[a-c]{0,4}\Z"), st.text("abc", max_size=6))
def test_the_parts_match_what_the_whole_matches(pattern: str, text: str) -> None:
    every, _ = split(pattern)
    assert bool(re.search(pattern, text)) == all(re.search(one, text) for one in every)


@pytest.mark.parametrize(
    ("pattern", "bad"),
    [("(", True), ("[", True), ("*a", True), ("(?<n>a)", False), ("(?<!a)b", False), (r"\d+", False)],
)
def test_malformed(pattern: str, bad: bool) -> None:
    assert is_malformed(pattern) is bad
