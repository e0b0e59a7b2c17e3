"""The cost of a pass."""

import pytest

from benchmarks.looppass import Stopwatch, summarise


def test_what_is_left_of_a_pass_is_ours() -> None:
    """Nanoseconds in, microseconds out."""
    cost = summarise(1, [(700_000, 600_000, 60_000)] * 4)
    assert (cost.decode, cost.sample, cost.rest, cost.rest_median) == (600.0, 60.0, 40.0, 40.0)
    assert cost.passes == 4


def test_the_slowest_passes_do_not_count() -> None:
    """One of a hundred has waited for another program."""
    cost = summarise(1, [(50_000, 10_000, 10_000)] * 99 + [(9_000_000, 10_000, 10_000)])
    assert cost.passes == 99
    assert cost.rest == pytest.approx(30.0)


def test_a_stopwatch_hands_calls_through() -> None:
    """Arguments, result; and it begins anew once it was read."""
    watch = Stopwatch()
    assert watch.around(max)(2, 5) == 5
    assert watch.take() > 0
    assert watch.take() == 0
