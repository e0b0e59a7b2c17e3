"""The stay of a model as a value."""

import math

from hypothesis import given
from hypothesis import strategies as st

from scheduler.keepalive import Stay

wishes = st.none() | st.floats(-10, 1e12) | st.just(math.inf)


@given(wishes, wishes, st.floats(0, 2e9))
def test_a_stay_never_ends_in_the_past_and_a_wish_replaces_it(
    first: float | None, then: float | None, wall: float
) -> None:
    stay = Stay.of(first, 300.0).attached(then)
    assert stay.keep >= 0
    assert stay.expires_at is None
    left = stay.left(wall)
    shown = left.shown(wall + 1)
    assert shown is None or shown >= wall
    assert (shown is None) is (stay.keep == math.inf)
    assert left.attached(5.0).shown(0) == shown, "the old end is told until the new request ends"
    if then is not None:
        assert stay.keep == (then if then >= 0 else math.inf)


def test_during_the_first_request_the_end_moves_along() -> None:
    stay = Stay.of(None, 300.0)
    assert (stay.shown(1000.0), stay.shown(1001.0)) == (1300.0, 1301.0)


def test_an_expired_model_goes_at_once_and_shows_when_that_was_asked() -> None:
    stay = Stay.of(math.inf, 300.0).expired(1000.0)
    assert (stay.keep, stay.timer, stay.shown(2000.0)) == (0.0, 0.0, 1000.0)


def test_centuries_need_no_timer() -> None:
    assert Stay.of(1e11, 0).timer is None
    assert Stay.of(86400.0, 0).timer == 86400.0
