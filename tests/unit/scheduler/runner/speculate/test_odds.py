"""How often guesses come true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.speculate.odds import Averages, Odds


@given(st.lists(st.booleans(), max_size=300), st.floats(0, 1))
def test_an_average_stays_a_probability(outcomes: list[bool], first: float) -> None:
    averages = Averages([first])
    for right in outcomes:
        averages.learn(0, right=right)
        assert 0 <= averages.values[0] <= 1


def test_the_first_outcomes_weigh_most_and_later_ones_still_something() -> None:
    averages = Averages([0.5, 0.5])
    averages.learn(0, right=True)
    assert averages.values == pytest.approx([0.625, 0.5])
    for _ in range(500):
        averages.learn(0, right=True)
    assert averages.values[0] > 0.99
    averages.learn(0, right=False)
    assert averages.values[0] == pytest.approx(1 - 1 / 64, abs=0.01)


def test_a_request_begins_with_what_is_known_and_adds_to_it() -> None:
    every = Averages([0.5])
    for _ in range(200):
        every.learn(0, right=True)
    one, other = Odds(every), Odds(every)
    for _ in range(50):
        one.learn(0, right=False)
    assert one.values[0] < 0.1 < every.values[0]
    assert other.values[0] > 0.95, "what one request has seen does not disturb another under way"
    assert Odds(every).values == every.values


def test_of_a_run_only_what_was_reached_is_judged() -> None:
    odds = Odds(Averages([0.5] * 4))
    odds.learn_run([0, 1, 2], 1)
    assert odds.values[0] > 0.5 > odds.values[1]
    assert odds.values[2:] == [0.5, 0.5]
    odds.learn_run([3], 1)
    odds.learn_run([], 0)
    assert odds.values[3] > 0.5
