"""Which slot a prompt gets, and what of it is evaluated again."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.prefix import Slots, common_prefix


class Memory:
    """Positions stored per sequence; `partial` says whether a tail can be removed."""

    def __init__(self, *, partial: bool = True) -> None:
        self.partial = partial
        self.removed: list[tuple[int, int]] = []

    def remove(self, sequence: int, start: int, end: int = -1) -> bool:
        self.removed.append((sequence, start))
        return self.partial or start == 0


def store(slots: Slots, index: int, tokens: list[int], used: int = 1) -> None:
    slots.all[index].tokens = tokens
    slots.all[index].used = used


def test_the_longest_shared_prefix_is_continued() -> None:
    slots, memory = Slots(2), Memory()
    store(slots, 0, [1])
    store(slots, 1, [1, 2])
    claimed = slots.claim([1, 2, 3], memory)
    assert claimed == (slots.all[1], 2)


def test_the_last_prompt_token_is_always_evaluated() -> None:
    slots, memory = Slots(1), Memory()
    store(slots, 0, [1, 2, 3])
    assert slots.claim([1, 2, 3], memory) == (slots.all[0], 2)
    assert slots.all[0].tokens == [1, 2]
    assert memory.removed == [(0, 2)]


def test_another_conversation_takes_an_empty_slot_first() -> None:
    slots = Slots(2)
    store(slots, 0, [1, 2, 3, 4])
    assert slots.claim([1, 9, 9], Memory()) == (slots.all[1], 0)


def test_then_the_slot_not_used_for_longest() -> None:
    slots = Slots(2)
    store(slots, 0, [1, 2, 3, 4], used=5)
    store(slots, 1, [5, 6, 7, 8], used=3)
    assert slots.claim([9], Memory()) == (slots.all[1], 0)


def test_memory_that_cannot_forget_a_tail_starts_anew() -> None:
    slots, memory = Slots(1), Memory(partial=False)
    store(slots, 0, [1, 2, 3])
    assert slots.claim([1, 2, 9], memory) == (slots.all[0], 0)
    assert memory.removed == [(0, 2), (0, 0)]


def test_busy_slots_are_left_alone() -> None:
    slots = Slots(1)
    slots.all[0].busy = True
    assert slots.claim([1], Memory()) is None


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_prefix_is_what_counting_gives(left: list[int], right: list[int]) -> None:
    expected = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        expected += 1
    assert common_prefix(left, right) == expected
