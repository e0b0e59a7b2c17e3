"""Guesses from a text that repeats itself."""

import random

from scheduler.runner.sequence import Proposal
from scheduler.runner.speculate.lookup import MOST, PromptLookup

END = 2


def lookup() -> PromptLookup:
    return PromptLookup(MOST, frozenset({END}))


def ask(one: PromptLookup, tokens: list[int], most: int = 100, key: int = 1) -> list[int]:
    guess = one.guess(Proposal(key, 0, tokens, most))
    assert len(guess.tokens) == len(guess.odds)
    assert all(0 <= odd <= 1 for odd in guess.odds)
    return guess.tokens


def test_what_followed_before_is_expected_again() -> None:
    passage = list(range(100, 200))
    assert ask(lookup(), [*passage, 5, *passage[:3]]) == passage[3 : 3 + MOST]
    assert ask(lookup(), [*passage, 5, *passage[:3]], most=4) == passage[3:7]


def test_nothing_is_expected_of_a_text_without_repetition() -> None:
    assert ask(lookup(), list(range(100))) == []


def test_a_loop_goes_on_as_long_as_is_asked() -> None:
    assert ask(lookup(), [7, 8, 9, 7, 8, 9, 7], most=8) == [8, 9, 7, 8, 9, 7, 8, 9]


def test_nothing_is_guessed_beyond_the_end_of_a_text_or_a_picture() -> None:
    assert ask(lookup(), [5, 6, 7, END, 8, 5, 6]) == [7, END]
    assert ask(lookup(), [5, 6, 7, -9, -9, 5, 6]) == [7]
    assert ask(lookup(), [5, 6, -9, 7, 5, 6]) == []


def test_the_longer_a_copy_has_agreed_the_better_are_its_odds() -> None:
    passage = list(range(100, 300))
    one = lookup()
    firsts: list[float] = []
    for length in range(2, 150):
        firsts.append(one.guess(Proposal(1, 0, [*passage, 5, *passage[:length]], 8)).odds[0])
    assert firsts[0] < 0.4
    assert firsts[10] > 0.6
    assert firsts[-1] > 0.95


def test_agreement_by_chance_is_soon_not_believed_any_more() -> None:
    """Pairs repeat all the time here, and tell nothing of what follows."""
    chance = random.Random(1)
    one, tokens = lookup(), [0, 1]
    guesses = 0
    for step in range(2000):
        tokens.append(10 + chance.randrange(12))
        guesses += bool(ask(one, tokens)) and step > 1000
    assert guesses < 100, "a longer run now and then"
    fresh = [*tokens[-40:], 1, 2, 3, 1, 2]
    assert ask(one, fresh, key=2) == [], "the next request begins with what is known"


def test_a_copy_with_changes_is_taken_up_again_after_each() -> None:
    passage = list(range(100, 160))
    copy = [token if place % 15 else 9000 + place for place, token in enumerate(passage)]
    one, tokens, right = lookup(), list(passage), 0
    for token in copy:
        right += ask(one, tokens)[:1] == [token]
        tokens.append(token)
    assert right >= 60 - 4 * 3 - 2


def test_several_tokens_may_come_at_once() -> None:
    passage = list(range(100, 200))
    one = lookup()
    tokens = [*passage, 5, *passage[:3]]
    ask(one, tokens)
    tokens += passage[3:20]
    assert ask(one, tokens, most=3) == passage[20:23]
    tokens += [1, 1000, *passage[50:53]]
    assert ask(one, tokens, most=3) == passage[53:56]


def test_texts_are_kept_apart_and_a_shorter_one_begins_anew() -> None:
    one = lookup()
    assert ask(one, [5, 6, 7, 5, 6], key=1)
    assert ask(one, [5, 8, 9, 3], key=2) == []
    assert ask(one, [4, 4, 8], key=1) == []
    one.forget(1)
    one.forget(1)
    assert ask(one, [5, 6, 7, 5, 6], key=1)
