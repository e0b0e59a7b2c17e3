"""Who gets how much of a batch."""

from typing import cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scheduler import frames
from scheduler.runner.cache.slots import Slot
from scheduler.runner.limits import Fit
from scheduler.runner.rows import divide, write
from scheduler.runner.sequence import Chain, Running
from scheduler.runner.text.assembler import TextAssembler
from tests.unit.scheduler.runner.fake_engine import FakeMedia


def running(id: int, prompt: int, *, stored: int = 0, token: int = -1, draft: int = 0) -> Running:
    slot = Slot(id)
    slot.tokens = list(range(stored))
    return Running(
        request=frames.Generate(id, ""),
        fit=Fit(list(range(prompt)), 0, 0),
        slot=slot,
        prompt_tokens=prompt,
        cached=0,
        chain=cast(Chain, None),
        matcher=None,
        text=TextAssembler(),
        preserved=frozenset(),
        budget=100,
        began=id,
        token=token,
        draft=[7] * draft,
    )


def takes(sequences: list[Running], budget: int, enough: int = 1_000) -> dict[int, int]:
    return {one.id: take for one, take in divide(sequences, budget, enough)}


def test_those_that_generate_get_a_row_each_before_any_prompt() -> None:
    sequences = [running(1, 1000), running(2, 5, stored=5, token=3), running(3, 5, stored=5, token=3)]
    assert takes(sequences, 16) == {1: 14, 2: 1, 3: 1}


def test_short_prompts_are_done_before_long_ones() -> None:
    sequences = [running(1, 1000), running(2, 30), running(3, 10)]
    assert takes(sequences, 64) == {1: 24, 2: 30, 3: 10}
    assert takes(sequences, 40) == {1: 10, 2: 20, 3: 10}


def test_the_oldest_prompt_always_gets_on() -> None:
    sequences = [running(1, 1000), *(running(id, 10) for id in range(2, 12))]
    assert takes(sequences, 40)[1] == 10
    assert takes(sequences, 1) == {1: 1}


def test_with_enough_rows_only_whole_prompts_are_added() -> None:
    """Half of a prompt would delay the others and bring nobody to a first token."""
    equal = [running(id, 65) for id in range(3)]
    assert takes(equal, 128, 64) == {0: 65}
    assert takes(equal, 130, 64) == {0: 65, 1: 65}
    assert takes([running(id, 30) for id in range(6)], 128, 64) == dict.fromkeys(range(4), 30)


def test_long_prompts_fill_the_batch() -> None:
    assert takes([running(0, 1000), running(1, 500)], 128, 64) == {0: 32, 1: 96}
    assert takes([running(0, 1000)], 128, 64) == {0: 128}


def test_proposals_are_dropped_where_there_is_no_room_for_them() -> None:
    sequences = [running(id, 1, stored=1, token=3, draft=4) for id in range(3)]
    assert takes(sequences, 15) == {0: 5, 1: 5, 2: 5}
    assert takes(sequences, 14) == {0: 1, 1: 1, 2: 1}
    assert all(not one.draft for one in sequences)


def test_a_prompt_stops_before_a_picture_and_before_a_checkpoint() -> None:
    one = running(1, 100)
    one.media = {40: FakeMedia(1, 5)}
    assert takes([one], 64) == {1: 40}
    one.marks = [30]
    assert takes([one], 64) == {1: 30}
    one.slot.tokens = list(range(40))
    one.marks = []
    assert takes([one], 64) == {}


class Arrays:
    def __init__(self, size: int) -> None:
        self.tokens = np.full(size, -1, np.int32)
        self.positions = np.full(size, -1, np.int32)
        self.sequences = np.full(size, -1, np.int32)
        self.outputs = np.full(size, -1, np.int8)


def test_what_stands_in_the_batch() -> None:
    sequences = [running(1, 4, stored=4, token=9, draft=2), running(2, 5, stored=2), running(3, 50)]
    batch = Arrays(8)
    due = write(batch, divide(sequences, 8, 8))
    assert [(one.id, row) for one, row in due] == [(1, 0), (2, 5)]
    assert batch.tokens.tolist() == [9, 7, 7, 2, 3, 4, 0, 1]
    assert batch.positions.tolist() == [4, 5, 6, 2, 3, 4, 0, 1]
    assert batch.sequences.tolist() == [1, 1, 1, 2, 2, 2, 3, 3]
    assert batch.outputs.tolist() == [1, 1, 1, 0, 0, 1, 0, 0]


@given(
    st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.integers(0, 5)), max_size=12),
    st.integers(1, 64),
    st.integers(1, 64),
)
def test_a_batch_is_never_overfull_and_never_idle(
    wanted: list[tuple[int, bool, int]], budget: int, enough: int
) -> None:
    sequences = [
        running(id, size, stored=size, token=1, draft=draft) if generates else running(id, size)
        for id, (size, generates, draft) in enumerate(wanted)
    ]
    shares = divide(sequences, budget, enough)
    assert sum(take for _, take in shares) <= budget
    assert bool(shares) == bool(sequences)
    assert [one.id for one, _ in shares] == sorted(one.id for one, _ in shares)
    for one, take in shares:
        assert 0 < take <= (1 + len(one.draft) if one.token >= 0 else one.waiting)
