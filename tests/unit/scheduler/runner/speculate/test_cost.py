"""What steps cost, and which guesses are worth it."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.speculate.cost import StepTimes, allot, worthwhile

FREE = [1.0] * 100
LINEAR = [float(rows) for rows in range(1, 100)]


def test_before_any_step_a_row_more_costs_half_a_step() -> None:
    assert StepTimes().between(1, 4) == [1.0, 1.5, 2.0, 2.5]
    assert StepTimes().between(3, 3) == [2.0]


def test_one_measurement_gives_the_scale() -> None:
    times = StepTimes()
    times.observe(2, 300)
    assert times.between(1, 4) == [225.0, 300.0, 375.0, 450.0]


def test_between_measurements_lies_a_line_which_goes_on_beyond() -> None:
    times = StepTimes()
    for _ in range(200):
        times.observe(1, 100)
        times.observe(5, 200)
    assert times.between(1, 7) == pytest.approx([100, 125, 150, 175, 200, 225, 250], rel=0.01)
    assert times.between(3, 3) == pytest.approx([150], rel=0.01)
    assert times.between(7, 8) == pytest.approx([250, 275], rel=0.01)


def test_rows_that_cost_nothing_are_still_taken_to_cost_a_little_beyond_what_is_known() -> None:
    times = StepTimes()
    for _ in range(100):
        times.observe(1, 100)
        times.observe(9, 90)
    assert 90 < times.between(19, 19)[0] < 110


def test_a_disturbed_step_counts_little() -> None:
    times = StepTimes()
    times.observe(1, 100)
    times.observe(1, 1_000_000)
    assert times.between(1, 1)[0] <= 110
    times.observe(8, 1_000_000)
    assert times.between(8, 8)[0] < 800, "nor does the first of its kind"


def test_what_was_not_measured_for_long_is_forgotten() -> None:
    times = StepTimes()
    times.observe(1, 100)
    for _ in range(20):
        times.observe(4, 10_000)
    slow = times.between(4, 4)[0]
    for _ in range(1100):
        times.observe(1, 100)
    assert times.between(4, 4)[0] < slow
    assert times.between(4, 4) == pytest.approx([250])


def test_a_clock_that_stands_still_measures_nothing() -> None:
    times = StepTimes()
    times.observe(1, 0)
    assert times.between(1, 1) == [1.0]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 10**9)), max_size=60), st.integers(1, 30), st.integers(0, 40)
)
def test_there_is_a_positive_time_for_every_number_of_rows(steps: list[tuple[int, int]], first: int, more: int) -> None:
    times = StepTimes()
    for rows, elapsed in steps:
        times.observe(rows, elapsed)
    found = times.between(first, first + more)
    assert len(found) == more + 1
    assert all(time > 0 for time in found)
    assert found == pytest.approx([times.between(rows, rows)[0] for rows in range(first, first + more + 1)])


def test_free_rows_are_all_taken_and_full_price_ones_none() -> None:
    assert allot([[0.5] * 8], FREE) == [8]
    assert allot([[0.99] * 8], LINEAR) == [0]


def test_guesses_go_as_deep_as_they_are_likely() -> None:
    times = [1 + 0.3 * rows for rows in range(40)]
    sure, unsure = allot([[0.99] * 16, [0.5] * 16], [2 + 0.1 * rows for rows in range(40)])
    assert sure > unsure > 0
    assert allot([[0.2] * 8], times) == [0]
    assert allot([[0.95] * 8], times) == [8]


def test_a_worthless_beginning_may_lead_to_a_good_rest() -> None:
    assert allot([[0.6, 1.0, 1.0, 1.0, 1.0]], [1 + 0.3 * rows for rows in range(9)]) == [5]


def test_sequences_without_a_guess_count_too() -> None:
    assert allot([[], [0.9], []], FREE) == [0, 1, 0]
    assert allot([], [1.0]) == []


@given(
    st.lists(st.lists(st.floats(0, 1), max_size=3), min_size=1, max_size=3),
    st.lists(st.floats(0.0, 1.0), min_size=9, max_size=9),
)
def test_no_other_choice_promises_more_tokens_a_second(odds: list[list[float]], steps: list[float]) -> None:
    times = [1.0]
    for step in steps:
        times.append(times[-1] + step)

    def rate(lengths: tuple[int, ...]) -> float:
        expected = float(len(odds))
        for each, length in zip(odds, lengths, strict=True):
            reached = 1.0
            for odd in each[:length]:
                reached *= odd
                expected += reached
        return expected / times[sum(lengths)]

    chosen = tuple(allot(odds, times))
    best = max(map(rate, product(*(range(len(each) + 1) for each in odds))))
    assert rate(chosen) == pytest.approx(best) or (not any(chosen) and best <= 1.06 * rate(chosen))


def test_asking_a_draft_model_must_pay_for_its_time_as_well() -> None:
    cheap = [1 + 0.1 * rows for rows in range(9)]
    assert worthwhile(0.9, 4, cheap, 0.0) == 4
    assert worthwhile(0.9, 4, cheap, 0.2) > 0
    assert worthwhile(0.9, 4, cheap, 1.0) == 0
    assert worthwhile(0.05, 4, cheap, 0.0) == 0
