"""Finding where the end of a text stood before."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.speculate.ngrams import NgramIndex

TEXTS = st.lists(st.integers(-2, 3), max_size=80)


def found(tokens: list[int]) -> int:
    index = NgramIndex(len(tokens))
    index.extend(tokens)
    return index.find(tokens)


def test_the_longest_run_wins_over_a_later_shorter_one() -> None:
    tokens = [1, 2, 3, 4, 50, 9, 4, 60, 3, 4, 61, 1, 2, 3, 4]
    assert found(tokens) == 4
    assert found(tokens[:-1]) == 3


def test_of_equal_runs_the_last_wins() -> None:
    assert found([1, 2, 7, 1, 2, 8, 1, 2]) == 5


def test_one_token_is_no_run_and_short_texts_have_none() -> None:
    assert found([1, 5, 1]) == -1
    assert found([1]) == -1
    assert found([1, 2]) == -1


@given(TEXTS.filter(bool))
def test_what_is_found_is_there(tokens: list[int]) -> None:
    place = found(tokens)
    if place >= 0:
        assert 2 <= place < len(tokens)
        assert tokens[place - 2 : place] == tokens[-2:]


@given(TEXTS, st.lists(st.integers(1, 30), max_size=20))
def test_a_text_that_grows_is_as_well_known_as_one_that_was_there(tokens: list[int], steps: list[int]) -> None:
    index = NgramIndex(len(tokens))
    length = 1
    for step in [*steps, len(tokens)]:
        length = min(length + step, len(tokens))
        if length:
            index.extend(tokens[:length])
            index.find(tokens[:length])
    if tokens:
        assert index.find(tokens) == found(tokens)


def test_a_long_text_is_entered_bit_by_bit() -> None:
    passage = list(range(100, 110))
    tokens = [*range(1000, 4000), *passage, *range(4000, 5000), *passage[:4]]
    index = NgramIndex(len(tokens))
    calls = 0
    while index.find(tokens) < 0:
        index.extend(tokens)
        calls += 1
    assert 1 < calls < 6
    assert tokens[index.find(tokens)] == passage[4]


def test_a_text_that_outgrows_its_table_is_entered_anew() -> None:
    passage = list(range(100, 110))
    tokens = list(passage)
    index = NgramIndex(0)
    for token in range(1000, 3000):
        tokens.append(token)
        index.extend(tokens)
    tokens += passage[:4]
    for _ in range(4):
        index.extend(tokens)
    assert index.find(tokens) == 4
