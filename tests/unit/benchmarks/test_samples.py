"""Statistics of the comparison."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.samples import Sample, Stream, Wave, ratio

positive = st.floats(0.001, 1e6)


def test_median_and_spread() -> None:
    """The middle round, and the distance of the outer ones as a share of it."""
    sample = Sample.of([10.0, 12.0, 9.0])
    assert sample.median == 10.0
    assert sample.spread == pytest.approx(0.3)


def test_a_sample_of_nothing_is_refused() -> None:
    """There is no median of no round."""
    with pytest.raises(ValueError):
        Sample.of([])


@given(st.lists(positive, min_size=1, max_size=9))
def test_the_median_lies_within_the_rounds(values: list[float]) -> None:
    """Whatever the rounds were."""
    sample = Sample.of(values)
    assert min(values) <= sample.median <= max(values)
    assert sample.spread >= 0


def test_a_slow_round_slows_both_sides() -> None:
    """Ratios are taken within a round: one in which the machine was busy does not tilt them."""
    assert ratio(Sample((100.0, 50.0, 100.0)), Sample((80.0, 40.0, 80.0))) == pytest.approx(1.25)


def test_ratio_without_a_counterpart() -> None:
    """No peer, or one that measured nothing, gives none; unlike numbers of rounds compare their medians."""
    assert ratio(Sample((1.0,)), None) is None
    assert ratio(Sample((1.0,)), Sample((0.0,))) is None
    assert ratio(Sample((2.0, 2.0, 2.0)), Sample((1.0,))) == 2.0


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=7))
def test_ratio_turned_round_is_its_inverse(pairs: list[tuple[float, float]]) -> None:
    """For an odd number of rounds, where the median is one of them."""
    pairs = pairs if len(pairs) % 2 else pairs[1:] or pairs
    if len(pairs) % 2 == 0:
        return
    ours, peer = (Sample(tuple(column)) for column in zip(*pairs, strict=True))
    there, back = ratio(ours, peer), ratio(peer, ours)
    assert there is not None
    assert back is not None
    assert math.isclose(there * back, 1.0)


def test_wave_of_two_streams() -> None:
    """Decoding is timed between tokens, throughput from the first request to the last token."""
    wave = Wave([Stream(sent=0.0, first=1.0, last=2.0, tokens=11), Stream(sent=0.0, first=2.0, last=4.0, tokens=11)])
    assert wave.tokens == 22
    assert wave.decode_rate == pytest.approx(10 / 1 + 10 / 2)
    assert wave.throughput == pytest.approx(22 / 4)
    assert wave.first_token == pytest.approx(1.5)


def test_the_median_gap() -> None:
    """One hiccup does not move it; tokens that arrive several at once have none."""
    steady = Stream(sent=0.0, first=0.0, last=1.3, tokens=5, gaps=(0.1, 0.1, 0.1, 1.0))
    lumped = Stream(sent=0.0, first=0.0, last=1.3, tokens=5, gaps=(0.1, 1.0))
    assert Wave([steady]).gap_rate == pytest.approx(10)
    assert Wave([lumped]).gap_rate is None
