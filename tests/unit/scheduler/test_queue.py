"""The rules of order as functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.queue import Waiting, admits, passes, servable


@pytest.mark.parametrize(
    ("waiting", "capacity", "admitted"), [(0, 1, True), (1, 1, True), (2, 1, False), (0, 0, False), (512, 512, True)]
)
def test_the_first_of_the_queue_does_not_count(waiting: int, capacity: int, admitted: bool) -> None:
    assert admits(waiting, capacity) is admitted


def test_passing_is_bounded_only_where_it_costs_the_first_one() -> None:
    assert passes(1, contested=False, overtaken=10**6)
    assert [passes(2, contested=True, overtaken=n) for n in (0, 3, 4)] == [True, True, False]


queues = st.lists(st.builds(Waiting, key=st.sampled_from("abc"), width=st.sampled_from([None, 1, 4])), max_size=12)


@given(queues, st.none() | st.frozensets(st.sampled_from("abc")), st.integers(0, 9))
def test_what_may_be_served_keeps_its_order_and_the_bound(
    queue: list[Waiting], victims: frozenset[str] | None, overtaken: int
) -> None:
    chosen, after = servable(queue, victims=victims, overtaken=overtaken)
    assert chosen == sorted(set(chosen))
    assert all(queue[i].width is not None for i in chosen)
    if queue and queue[0].width is not None:
        assert chosen[0] == 0
    contested = [queue[i] for i in chosen if i > 0 and (victims is None or queue[i].key in victims)]
    assert after == overtaken + len(contested)
    assert after <= max([overtaken, *(2 * (one.width or 0) for one in contested)])
