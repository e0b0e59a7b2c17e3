"""Which slot a prompt gets, what of it is evaluated again, and what happens to what was there."""

import pytest

from scheduler.runner.cache.archive import Archive
from scheduler.runner.cache.memory import MemoryKind
from scheduler.runner.cache.rates import Rates
from scheduler.runner.cache.slots import Slot, Slots
from tests.unit.scheduler.runner.fake_engine import FakeContext

TRUNK = list(range(100, 200))
"""A system prompt."""
A, B, C = ([*TRUNK, *range(start, start + 60)] for start in (1000, 2000, 3000))
"""Conversations that begin with it."""
ROOM = 1 << 20


class Bench:
    """Slots over a fake engine. `Rates` never know anything, so that copying always pays, unless given."""

    def __init__(
        self, count: int, *, kind: MemoryKind = MemoryKind.WHOLE, archive: int = 0, rates: Rates | None = None
    ) -> None:
        self.context = FakeContext(sequences=count, batch_size=512, kind=kind)
        self.archive = Archive(archive)
        self.slots = Slots(count, self.context, archive=self.archive, rates=rates or Rates(lambda: 0))
        self.evaluated = 0

    def begin(self, prompt: list[int], *, checkpoint: int = 0) -> tuple[Slot, int]:
        """Claim a slot and evaluate what is missing; the slot, and how much was there already."""
        claim = self.slots.claim(prompt)
        assert claim is not None
        slot, cached, _ = claim
        assert slot.tokens == prompt[:cached]
        for index in range(cached, len(prompt)):
            self.context.put(slot.id, prompt[index], index)
            slot.tokens.append(prompt[index])
            self.evaluated += 1
            if len(slot.tokens) == checkpoint:
                self.slots.checkpoint(slot)
        self.slots.publish(slot)
        return slot, cached

    def run(self, prompt: list[int], *, checkpoint: int = 0) -> int:
        """A whole request; returns how much of its prompt was there already."""
        slot, cached = self.begin(prompt, checkpoint=checkpoint)
        self.slots.release(slot)
        assert self.context.stored[slot.id].tokens == slot.tokens
        return cached


def test_the_next_turn_of_a_conversation_goes_on_in_its_slot() -> None:
    bench = Bench(2)
    bench.run(A)
    assert bench.run([*A, 7, 8]) == len(A)
    assert bench.context.stored[1].tokens == []


def test_the_last_token_of_a_prompt_is_always_evaluated() -> None:
    bench = Bench(1)
    bench.run(A)
    assert bench.run(A) == len(A) - 1


def test_another_conversation_takes_an_empty_slot_then_the_one_not_used_for_longest() -> None:
    bench = Bench(2)
    first, _ = bench.begin([1, 2, 3])
    bench.slots.release(first)
    second, _ = bench.begin([4, 5, 6])
    bench.slots.release(second)
    assert first is not second
    third, _ = bench.begin([7, 8])
    assert third is first


def test_a_shared_beginning_is_forked_from_a_busy_slot() -> None:
    bench = Bench(2)
    busy, _ = bench.begin(A)
    other, cached = bench.begin(B)
    assert other is not busy
    assert cached == len(TRUNK)
    assert bench.context.stored[busy.id].tokens == A


def test_an_idle_conversation_is_forked_rather_than_cut_while_there_is_room() -> None:
    bench = Bench(2)
    bench.run(A)
    assert bench.run(B) == len(TRUNK)
    assert bench.run([*A, 1]) == len(A)
    assert bench.run([*B, 1]) == len(B)


def test_a_short_end_is_overwritten_without_a_copy() -> None:
    bench = Bench(2)
    bench.run([*TRUNK, 1, 2, 3])
    assert bench.run([*TRUNK, 4, 5, 6]) == len(TRUNK)
    assert bench.context.stored[1].tokens == []


def test_what_has_to_leave_is_kept_in_host_memory_and_comes_back() -> None:
    bench = Bench(1, archive=ROOM)
    bench.run(A)
    bench.run(list(range(5000, 5100)))
    assert len(bench.archive) == 1
    evaluated = bench.evaluated
    assert bench.run([*A, 1, 2]) == len(A)
    assert bench.evaluated == evaluated + 2


def test_more_conversations_than_slots_over_one_beginning_lose_nothing() -> None:
    bench = Bench(2, archive=ROOM)
    conversations = [[*TRUNK, *range(start, start + 60)] for start in range(1000, 9000, 1000)]
    for conversation in conversations:
        bench.run(conversation)
    bench.evaluated = 0
    for turn in range(3):
        for conversation in conversations:
            conversation += range(100_000 + 40 * turn, 100_040 + 40 * turn)
            bench.run(conversation)
    assert bench.evaluated == 3 * len(conversations) * 40


def test_where_copying_is_dearer_than_computing_it_is_computed() -> None:
    """The same traffic as above: nothing is kept, and every turn is evaluated anew behind what its slot shares."""
    rates = Rates(lambda: 0)
    rates.evaluated(100, 100)
    rates.byte_time = 10.0
    bench = Bench(1, archive=ROOM, rates=rates)
    bench.run(A)
    bench.run(list(range(5000, 5100)))
    assert len(bench.archive) == 0
    assert bench.run([*A, 1, 2]) == 0


def test_one_slow_copy_teaches_to_compute() -> None:
    """The first copy is made to learn its price; it is high, so the next prefix is computed again."""
    ticks = iter(range(0, 1 << 40, 1_000_000))
    rates = Rates(lambda: next(ticks))
    rates.evaluated(100, 100)
    bench = Bench(1, archive=ROOM, rates=rates)
    bench.run(A)
    bench.run(B[60:])
    assert len(bench.archive) == 1, "one was copied"
    bench.run(C[60:])
    assert len(bench.archive) == 1, "and none after it"


def test_host_memory_is_bounded() -> None:
    size = 0
    for budget in (ROOM, 0):
        bench = Bench(1, archive=budget or 3 * size)
        for start in range(0, 20_000, 1000):
            bench.run(list(range(start, start + 60)))
        if budget:
            size = bench.archive.size // len(bench.archive)
        else:
            assert 0 < bench.archive.size <= 3 * size
            assert bench.run([*range(18_000, 18_060), 1]) == 60, "the newest are kept"
            assert bench.run([*range(60), 1]) == 0, "the oldest had to go"


def test_a_copy_may_push_out_what_it_was_made_from() -> None:
    """Putting away what the target held takes the room of the source, whose bytes are still at hand."""
    measure = Bench(1, archive=ROOM)
    measure.run(A)
    measure.run(list(range(5000, 5160)))
    size = measure.archive.size
    bench = Bench(1, archive=size + 50)
    bench.run(A)
    bench.run(list(range(5000, 5160)))
    assert bench.run([*A[:140], 1]) == 140
    assert len(bench.archive) == 1


def test_a_longer_copy_takes_the_place_of_a_shorter_one() -> None:
    bench = Bench(1, archive=ROOM)
    for length in (110, 130, 160):
        bench.run(A[:length])
        bench.run(list(range(5000, 5100)))
    assert len(bench.archive) == 2


def never() -> bool:
    return False


def test_what_will_be_overwritten_is_copied_while_nobody_waits() -> None:
    bench = Bench(2, archive=ROOM)
    bench.run(A)
    bench.run(B)
    bench.slots.put_away_ahead(never)
    assert len(bench.archive) == 2
    bench.slots.put_away_ahead(never)
    saved = bench.context.saves
    assert bench.run([1, 2, 3]) == 0
    assert (len(bench.archive), bench.context.saves) == (2, saved), "it was there already"
    assert bench.run(A) == len(A) - 1


def test_copying_ahead_ends_when_there_is_something_to_do() -> None:
    bench = Bench(2, archive=ROOM)
    bench.run(A)
    bench.run([1, *B])
    bench.slots.put_away_ahead(lambda: len(bench.archive) > 0)
    assert len(bench.archive) == 1


def test_copying_ahead_pushes_nothing_out_and_lets_nobody_wait_long() -> None:
    full = Bench(1, archive=1)
    full.run(A)
    full.slots.put_away_ahead(never)
    assert (len(full.archive), full.context.saves) == (0, 0)
    slow = Rates(lambda: 0)
    slow.byte_time = 1e9
    bench = Bench(1, archive=ROOM, rates=slow)
    bench.run(A)
    bench.slots.put_away_ahead(never)
    assert (len(bench.archive), bench.context.saves) == (0, 0)


def test_what_a_shift_has_moved_is_not_offered_to_others() -> None:
    bench = Bench(1)
    slot, _ = bench.begin(A)
    bench.context.remove(slot.id, 50, 100)
    bench.slots.shifted(slot, 50, 100)
    bench.slots.release(slot)
    assert bench.run([*A[:50], *A[100:], 5]) == 50


@pytest.mark.parametrize("kind", [MemoryKind.WINDOW, MemoryKind.STATE])
def test_memory_that_cannot_be_cut_back_goes_on_at_its_end(kind: MemoryKind) -> None:
    bench = Bench(1, kind=kind)
    bench.run(A)
    assert bench.run([*A, 1, 2]) == len(A)


@pytest.mark.parametrize("kind", [MemoryKind.WINDOW, MemoryKind.STATE])
def test_it_goes_back_to_a_checkpoint(kind: MemoryKind) -> None:
    bench = Bench(1, kind=kind)
    bench.run(A, checkpoint=90)
    assert bench.run(B) == 90
    assert bench.run([*TRUNK[:80], 1]) == 0


@pytest.mark.parametrize("kind", [MemoryKind.WINDOW, MemoryKind.STATE])
def test_checkpoints_go_with_copies(kind: MemoryKind) -> None:
    bench = Bench(2, kind=kind, archive=ROOM)
    bench.begin(A, checkpoint=90)
    other, cached = bench.begin(B)
    assert (other.id, cached) == (1, 90)
    bench.slots.release(other)
    bench.run(list(range(5000, 5100)))
    assert bench.run(C) == 90


def test_a_window_is_cut_back_as_long_as_it_is_whole() -> None:
    bench = Bench(1, kind=MemoryKind.WINDOW)
    slot, _ = bench.begin(A)
    bench.slots.release(slot)
    bench.context.stored[0].first = 50
    assert bench.run([*A[:56], 1]) == 56
    assert bench.run([*A[:40], 1]) == 0


def test_a_recurrent_state_offers_no_checkpoint_of_later_tokens() -> None:
    bench = Bench(1, kind=MemoryKind.STATE)
    bench.run(A, checkpoint=150)
    assert bench.run([*A[:120], 1]) == 0


def test_the_branch_tells_where_prompts_part() -> None:
    bench = Bench(2, kind=MemoryKind.STATE)
    bench.run(A)
    claim = bench.slots.claim(B)
    assert claim is not None
    assert (claim.cached, claim.branch) == (0, len(TRUNK))


def test_no_slot_while_all_are_busy() -> None:
    bench = Bench(1)
    bench.begin(A)
    assert bench.slots.claim(B) is None
    assert bench.slots.borrow() is None


def test_a_borrowed_slot_is_empty_and_what_it_held_is_kept() -> None:
    bench = Bench(1, archive=ROOM)
    bench.run(A)
    slot = bench.slots.borrow()
    assert slot is not None
    assert (slot.tokens, bench.context.stored[0].tokens) == ([], [])
    bench.slots.release(slot)
    assert bench.run([*A, 1]) == len(A)
