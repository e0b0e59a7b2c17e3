"""How layers are divided among GPUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.layout import divide, divide_all, in_order


def divided(
    free: list[int], layers: list[int], asked: int = -1, integrated: tuple[int, ...] = ()
) -> dict[int, list[int]]:
    """The numbers of the layers that each GPU gets. `integrated`: GPUs that share the host's memory."""
    order = in_order(free, [n in integrated for n in range(len(free))], forced=asked > 0)
    rooms = [free[n] for n in order]
    count = sum(divide(rooms, layers)) if asked < 0 else min(asked, len(layers))
    counts = divide_all(rooms, layers[len(layers) - count :], even=asked > 0 or not integrated)
    found: dict[int, list[int]] = {}
    start = len(layers) - count
    for gpu, share in zip(order, counts, strict=True):
        if share:
            found[gpu] = list(range(start, start + share))
        start += share
    return found


@pytest.mark.parametrize(
    ("free", "layers", "asked", "result"),
    [
        ([], [50] * 3, -1, {}),
        ([256], [50] * 3, -1, {0: [0, 1, 2]}),
        ([256], [100] * 4, -1, {0: [2, 3]}),
        ([256], [100] * 4, 1, {0: [3]}),
        ([256], [100] * 4, 0, {}),
        ([256], [100] * 4, 999, {0: [0, 1, 2, 3]}),
        ([128, 256], [256, 50, 50], -1, {1: [0], 0: [1, 2]}),
        ([128, 256], [256, 256, 50], -1, {1: [1], 0: [2]}),
        ([128, 256], [256, 256, 50], 999, {1: [0, 1], 0: [2]}),
        ([24, 24], [1] * 33, -1, {0: list(range(16)), 1: list(range(16, 33))}),
        ([24, 48], [1] * 33, -1, {1: list(range(22)), 0: list(range(22, 33))}),
        ([0, 256], [50] * 3, -1, {1: [0, 1, 2]}),
        ([0], [1], -1, {}),
        ([0], [1, 1], 2, {0: [0, 1]}),
    ],
)
def test_layers_fill_gpus_from_the_last_one_down(
    free: list[int], layers: list[int], asked: int, result: dict[int, list[int]]
) -> None:
    """The output layer goes first: the engine takes the last layers."""
    assert divided(free, layers, asked) == result


@pytest.mark.parametrize(
    ("layers", "asked", "result"),
    [
        ([50] * 3, -1, {1: [0], 0: [1, 2]}),
        ([100] * 4, -1, {1: [1, 2], 0: [3]}),
        ([100] * 4, 1, {1: [3]}),
        ([100] * 4, 999, {0: [0], 1: [1, 2, 3]}),
    ],
)
def test_discrete_gpus_are_filled_before_integrated_ones_unless_layers_are_forced(
    layers: list[int], asked: int, result: dict[int, list[int]]
) -> None:
    """A discrete one with room for 128, and an integrated one with room for 256."""
    assert divided([128, 256], layers, asked, integrated=(1,)) == result


sizes = st.lists(st.integers(0, 50), max_size=8)
layers = st.lists(st.integers(1, 30), max_size=40)


@given(sizes, layers)
def test_no_gpu_gets_more_than_it_has_room_for(free: list[int], layers: list[int]) -> None:
    counts = divide(free, layers)
    end = len(layers) - sum(counts)
    for room, share in zip(free, counts, strict=True):
        assert sum(layers[end : end + share]) <= room
        end += share


@given(sizes, layers)
def test_more_room_never_takes_fewer(free: list[int], layers: list[int]) -> None:
    assert sum(divide([room + 30 for room in free], layers)) >= sum(divide(free, layers))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), layers)
def test_all_are_given_out_where_all_must_be(free: list[int], layers: list[int]) -> None:
    counts = divide_all(free, layers)
    assert sum(counts) == len(layers)
    assert len(counts) == len(free)


@given(st.integers(1, 8), st.integers(0, 40))
def test_equal_gpus_all_get_something_while_there_is_something(gpus: int, count: int) -> None:
    counts = divide([100] * gpus, [1] * count)
    assert sum(1 for share in counts if share) == min(gpus, count)
