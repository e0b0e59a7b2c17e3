"""Sizes and times of the tables."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli import human

NOW = datetime(2025, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1024, "1.0 KB"),
        (1500, "1.5 KB"),
        (9999, "10.0 KB"),
        (10_500, "10 KB"),
        (999_999, "999 KB"),
        (1_000_000, "1 MB"),
        (4_000_000_000, "4 GB"),
        (1_234_567_890, "1.2 GB"),
        (1_999_999_999_999, "2.0 TB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert human.size(count) == text


@given(st.integers(0, 10**16))
def test_a_size_is_within_a_tenth_of_what_it_says(count: int) -> None:
    value, unit = human.size(count).split()
    scale = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}[unit]
    assert abs(float(value) * scale - count) <= scale


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5399, "About an hour"),
        (5400, "2 hours"),
        (24 * 3600, "24 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"),
        (729 * 86400, "24 months"),
        (730 * 86400, "2 years"),
        (10 * 365 * 86400, "10 years"),
    ],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert human.span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2025-11-21T11:58:00Z", "2 minutes ago"),
        ("2025-11-21T12:05:00.123456789Z", "5 minutes from now"),
        ("2025-11-21T13:05:00+01:00", "5 minutes from now"),
        ("2025-11-21T11:58:00", "2 minutes ago"),
        ("2318-01-01T00:00:00Z", "Forever"),
        ("0001-01-01T00:00:00Z", "Never"),
        ("", "Never"),
        ("soon", "Never"),
    ],
)
def test_times(text: str, shown: str) -> None:
    assert human.when(human.instant(text), NOW) == shown


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=20 * 365)))
def test_past_and_future_differ_in_their_last_word_only(away: timedelta) -> None:
    ahead, behind = human.when(NOW + away, NOW), human.when(NOW - away, NOW)
    assert behind == f"{human.span(away)} ago"
    assert ahead in (f"{human.span(away)} from now", behind)
