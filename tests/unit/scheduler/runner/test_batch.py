"""The batching loop on an engine whose next token is a pure function of the sequence so far."""

import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.batch import EngineFailure
from scheduler.runner.cache.memory import MemoryKind
from scheduler.runner.cache.rates import Rates
from scheduler.runner.sequence import Proposal
from tests.unit.scheduler.runner.fake_engine import VOCABULARY, Bench, FakeMedia, alone

TRUNK = [(index * index + 3 * index) % 14 for index in range(160)]
"""What prompts of the tests begin with."""


def _branch(shared: int, rest: list[int]) -> list[int]:
    return TRUNK[:shared] + rest


prompts = st.one_of(
    st.lists(st.integers(0, 14), min_size=1, max_size=40),
    st.builds(_branch, st.integers(1, 160), st.lists(st.integers(0, 14), max_size=90)),
)
requests = st.lists(st.tuples(prompts, st.integers(1, 40), st.sampled_from([-1, 0, 7])), min_size=1, max_size=8)
kinds = st.sampled_from(list(MemoryKind))


class Guesses:
    """Proposes what is sometimes right; told what became of it."""

    def __init__(self, wrong_every: int) -> None:
        self.wrong_every = wrong_every
        self.settled: list[tuple[int, int]] = []

    def propose(self, wanted: Sequence[Proposal]) -> list[list[int]]:
        return [self._guess(one) for one in wanted]

    def _guess(self, proposal: Proposal) -> list[int]:
        """What a greedy model says, wrong at places that depend on the length only."""
        history, guess = list(proposal.tokens), list[int]()
        for _ in range(min(proposal.most, 4)):
            token = zlib.crc32(repr(history).encode()) % VOCABULARY
            if len(history) % self.wrong_every == 0:
                token = (token + 1) % VOCABULARY
            guess.append(token)
            history.append(token)
        return guess

    def settle(self, key: int, proposed: int, accepted: int) -> None:
        self.settled.append((proposed, accepted))

    def forget(self, key: int) -> None: ...


@given(
    requests,
    st.integers(1, 3),
    st.integers(3, 40),
    st.sampled_from([24, 300]),
    st.lists(st.integers(0, 12), max_size=8),
    kinds,
    st.sampled_from([0, 1 << 20]),
    st.sampled_from([32, 1 << 20]),
    st.sampled_from([0, 2, 5]),
    st.booleans(),
)
def test_every_schedule_gives_each_request_the_output_it_gets_alone(
    wanted: list[tuple[list[int], int, int]],
    parallel: int,
    batch: int,
    num_ctx: int,
    pauses: list[int],
    kind: MemoryKind,
    archive: int,
    capacity: int,
    wrong_every: int,
    copies_cost: bool,
) -> None:
    """Greedy and seeded; nothing is lost or said twice, whatever runs beside it: where prefixes are continued, forked,
    put away and brought back, contexts slide and grow, and continuations are proposed."""
    can_shift = kind is not MemoryKind.WINDOW
    bench = Bench(
        parallel=parallel,
        batch=batch,
        num_ctx=num_ctx,
        kind=kind,
        can_shift=can_shift,
        archive=archive,
        capacity=capacity,
        speculator=Guesses(wrong_every) if wrong_every else None,
        rates=None if copies_cost else Rates(lambda: 0),
    )
    for id, (prompt, num_predict, seed) in enumerate(wanted):
        bench.submit(id, prompt, num_predict=num_predict, seed=seed)
        for _ in range(pauses[id % len(pauses)] if pauses else 0):
            bench.batcher.step()
    bench.run()
    for id, (prompt, num_predict, seed) in enumerate(wanted):
        text, done = alone(prompt, num_predict, seed, num_ctx=num_ctx, can_shift=can_shift)
        assert bench.text(id) == text
        assert (bench.done(id).reason, bench.done(id).eval_tokens) == (done.reason, done.eval_tokens)
    assert all(chain.closed for chain in bench.chains)


def test_a_long_prompt_delays_others_by_no_more_than_one_batch() -> None:
    bench = Bench(parallel=2, batch=8, num_ctx=100)
    bench.submit(1, [1], num_predict=50)
    bench.batcher.step()
    bench.submit(2, list(range(14)) * 5, num_predict=2)
    before = len(bench.context.batches)
    while bench.batcher.busy:
        bench.batcher.step()
    mixed = [rows for rows in bench.context.batches[before:] if 1 in rows and rows.count(1) > 1]
    assert mixed
    assert all(rows[0] == 0 for rows in mixed), "the running stream has its row in every batch"


def test_a_conversation_evaluates_only_what_is_new() -> None:
    bench = Bench(num_ctx=100)
    bench.submit(1, [1, 2, 3, 4], num_predict=3)
    bench.run()
    said = bench.engine.tokenize(bench.text(1))
    bench.submit(2, [1, 2, 3, 4, *said, 5], num_predict=1)
    bench.run()
    assert bench.done(2).prompt_tokens == 4 + len(said) + 1
    assert bench.done(2).cached_tokens >= 4 + len(said) - 1


def test_a_cancelled_request_leaves_before_the_next_decode() -> None:
    bench = Bench()
    bench.submit(1, [1], num_predict=50)
    bench.submit(2, [2], num_predict=3)
    bench.batcher.step()
    bench.batcher.cancel(1)
    decoded = len(bench.context.batches)
    bench.run()
    assert all(0 not in rows for rows in bench.context.batches[decoded:])
    assert bench.text(2) == alone([2], 3, -1)[0]


def test_a_waiting_request_can_be_cancelled() -> None:
    bench = Bench(parallel=1)
    bench.submit(1, [1], num_predict=4)
    bench.submit(2, [2], num_predict=4)
    bench.batcher.cancel(2)
    bench.run()
    assert bench.text(2) == ""


def test_no_room_drops_idle_conversations_first() -> None:
    bench = Bench(parallel=2)
    bench.submit(1, [1, 2], num_predict=2)
    bench.run()
    bench.submit(2, [9, 9], num_predict=2)
    bench.context.results = [1]
    bench.run()
    assert bench.text(2) == alone([9, 9], 2, -1)[0]


def test_no_room_for_a_whole_batch_tries_half() -> None:
    bench = Bench(parallel=1, batch=16)
    bench.submit(1, list(range(12)), num_predict=2)
    bench.context.results = [1, 1]
    bench.run()
    assert bench.text(1) == alone(list(range(12)), 2, -1)[0]
    assert len(bench.context.batches[0]) == 3


def test_no_room_at_all_fails_one_sequence_only() -> None:
    bench = Bench(parallel=2, batch=16)
    bench.submit(1, [1, 2, 3], num_predict=3)
    bench.submit(2, [4], num_predict=3)
    bench.context.results = [1, 1, 1]
    bench.run()
    assert frames.Failed(1, "Context size has been exceeded.") in bench.sent
    assert bench.text(2) == alone([4], 3, -1)[0]


def test_an_engine_that_fails_twice_ends_the_process() -> None:
    bench = Bench(parallel=1)
    bench.submit(1, [1])
    bench.context.results = [-3, -3]
    bench.batcher.step()
    assert frames.Failed(1, "Compute error.") in bench.sent
    bench.submit(2, [1])
    with pytest.raises(EngineFailure):
        bench.batcher.step()


def test_a_full_context_ends_the_answer_where_it_may_not_slide() -> None:
    bench = Bench(parallel=1, num_ctx=10, can_shift=False)
    bench.engine.end_tokens = frozenset()  # only the context can end it
    bench.submit(1, [3, 3, 3], num_predict=100)
    bench.run()
    assert (bench.done(1).reason, bench.done(1).eval_tokens) == ("length", 7)
    assert len(bench.context.stored[0].tokens) == 9


def test_what_is_proposed_rightly_saves_decodes() -> None:
    speculator = Guesses(1 << 20)
    bench = Bench(num_ctx=100, speculator=speculator)
    bench.engine.end_tokens = frozenset()
    bench.submit(1, [1, 2, 3], num_predict=21)
    bench.run()
    plain = Bench(num_ctx=100)
    plain.engine.end_tokens = frozenset()
    plain.submit(1, [1, 2, 3], num_predict=21)
    plain.run()
    assert bench.text(1) == plain.text(1)
    assert len(plain.context.batches) == 21
    assert len(bench.context.batches) == 5
    assert (bench.done(1).drafted_tokens, bench.done(1).accepted_tokens, bench.done(1).eval_tokens) == (16, 16, 21)
    assert speculator.settled == [(4, 4)] * 4


def test_what_is_proposed_wrongly_is_forgotten() -> None:
    bench = Bench(num_ctx=100, speculator=Guesses(1))
    bench.submit(1, [1, 2, 3], num_predict=10)
    bench.run()
    assert bench.done(1).accepted_tokens == 0
    assert bench.done(1).drafted_tokens > 0
    said = bench.engine.tokenize(bench.text(1))
    assert bench.context.stored[0].tokens == [1, 2, 3, *said][: len(bench.context.stored[0].tokens)]


def test_proposals_stay_within_batch_budget_and_context() -> None:
    bench = Bench(parallel=3, batch=8, num_ctx=12, can_shift=False, speculator=Guesses(1 << 20))
    for id in range(3):
        bench.submit(id, [id, 2, 3], num_predict=5)
    bench.run()
    assert all(len(batch) <= 8 for batch in bench.context.batches)
    for id in range(3):
        assert bench.text(id) == alone([id, 2, 3], 5, num_ctx=12, can_shift=False)[0]


def test_memory_that_cannot_be_cut_back_gets_no_proposals() -> None:
    speculator = Guesses(1)
    bench = Bench(num_ctx=100, kind=MemoryKind.STATE, speculator=speculator)
    bench.submit(1, [1, 2, 3], num_predict=10)
    bench.run()
    assert speculator.settled == []


class Letter:
    """Admits one letter of the alphabet after another, after `free` tokens without a rule."""

    def __init__(self, free: int = 0, last: int = 5) -> None:
        self._free = free
        self._last = last
        self._next = 0
        self.prepared: list[int] = []
        self.error = ""
        self.ready = False

    @property
    def active(self) -> bool:
        return self._free <= 0

    def prepare(self) -> None:
        self.prepared.append(self._next)

    def admits(self, token: int) -> bool:
        return token == self._next

    def mask(self) -> NDArray[np.int32]:
        return np.array([1 << self._next], np.int32)

    def consume(self, token: int) -> bool:
        if self.active:
            self._next += 1
        self._free -= 1
        return self._next > self._last


def test_a_matcher_binds_the_answer_and_ends_it() -> None:
    bench = Bench()
    matcher = Letter()
    bench.submit(1, [3, 1], num_predict=20, matcher=matcher)
    bench.run()
    assert bench.text(1) == "abcdef"
    assert (bench.done(1).reason, bench.done(1).eval_tokens) == ("stop", 7)
    assert set(matcher.prepared) == set(range(6))


class OneLetter(Letter):
    """Admits the first letter only, for ever."""

    def consume(self, token: int) -> bool:
        return False


def test_a_text_that_repeats_itself_ends_like_any_other() -> None:
    """After 31 repetitions, with a reason and with its counts."""
    bench = Bench(num_ctx=300)
    bench.submit(1, [3, 1], num_predict=200, matcher=OneLetter())
    bench.run()
    assert bench.text(1) == "a" * 32
    assert (bench.done(1).reason, bench.done(1).eval_tokens) == ("stop", 32)


def test_a_matcher_that_waits_leaves_the_beginning_free() -> None:
    bench = Bench(num_ctx=100)
    bench.engine.end_tokens = frozenset()
    bench.submit(1, [3, 1], num_predict=20, matcher=Letter(free=3))
    bench.run()
    assert bench.text(1)[:3] == alone([3, 1], 3, num_ctx=100)[0]
    assert bench.text(1)[3:] == "abcdef"


def test_a_grammar_that_breaks_off_is_no_answer() -> None:
    bench = Bench()
    matcher = Letter(last=2)
    matcher.error = "too many states"
    bench.submit(1, [3, 1], num_predict=20, matcher=matcher)
    bench.run()
    (failed,) = [frame for frame in bench.sent if isinstance(frame, frames.Failed)]
    assert failed.message == "the structured output cannot be completed: too many states"


def test_proposals_obey_the_matcher() -> None:
    bench = Bench(num_ctx=100, speculator=Guesses(1 << 20))
    bench.submit(1, [3, 1], num_predict=20, matcher=Letter())
    bench.run()
    assert bench.text(1) == "abcdef"


def test_a_picture_is_evaluated_once_and_found_again() -> None:
    bench = Bench(num_ctx=100)
    picture = FakeMedia(1, 5)
    prompt = [1, 2, *picture.ids, 3]
    bench.submit(1, prompt, num_predict=4, media={2: picture}, shift=False)
    bench.run()
    text = bench.text(1)
    again = FakeMedia(1, 5)
    bench.submit(2, [*prompt, 4], num_predict=4, media={2: again}, shift=False)
    bench.run()
    assert (picture.evaluated, again.evaluated) == (1, 0)
    assert bench.done(2).cached_tokens == len(prompt)
    bench.submit(3, prompt, num_predict=4, media={2: FakeMedia(1, 5)}, shift=False)
    bench.run()
    assert bench.text(3) == text


def test_another_picture_at_the_same_place_is_not_the_same() -> None:
    bench = Bench(parallel=1, num_ctx=100)
    for id, mark in ((1, 1), (2, 2)):
        picture = FakeMedia(mark, 5)
        bench.submit(id, [1, 2, *picture.ids, 3], num_predict=4, media={2: picture}, shift=False)
        bench.run()
        assert picture.evaluated == 1
    assert bench.done(2).cached_tokens == 2


def test_a_prompt_may_end_in_a_picture() -> None:
    """All of it is evaluated again when it comes back: a picture is not cut."""
    bench = Bench(parallel=1, num_ctx=100)
    texts: list[str] = []
    for id in (1, 2):
        picture = FakeMedia(1, 5)
        bench.submit(id, [1, 2, *picture.ids], num_predict=4, media={2: picture}, shift=False)
        bench.run()
        texts.append(bench.text(id))
        assert picture.evaluated == 1
    assert texts[0] == texts[1]
    assert bench.done(2).cached_tokens == 2


def test_pictures_of_one_request_delay_another_by_one_at_a_time() -> None:
    bench = Bench(parallel=2, num_ctx=100)
    bench.engine.end_tokens = frozenset()
    bench.submit(1, [1], num_predict=20)
    bench.batcher.step()
    first, second = FakeMedia(1, 5), FakeMedia(2, 5)
    bench.submit(2, [1, *first.ids, *second.ids, 3], num_predict=2, media={1: first, 6: second}, shift=False)
    said = bench.done_tokens(1)
    while second.evaluated == 0:
        bench.batcher.step()
        assert bench.done_tokens(1) == said + 1
        said += 1
    bench.run()
    assert bench.text(1) == alone([1], 20, num_ctx=100)[0] or len(bench.text(1)) == 20


def test_a_request_can_ask_for_the_entries_of_its_prompt() -> None:
    bench = Bench(num_ctx=300, batch=200)
    bench.submit(1, TRUNK[:150], num_predict=2)
    bench.run()
    bench.submit(2, TRUNK[:150], num_predict=2, logprobs=1, prompt_logprobs=True)
    bench.run()
    first = bench.deltas(2)[0]
    assert first.text == ""
    assert [entry.token for entry in first.prompt] == [chr(97 + token) for token in TRUNK[1:150]]
    assert bench.done(2).cached_tokens == 0, "what is stored gives no logits"
    assert bench.text(2) == bench.text(1)


def test_the_second_of_two_equal_prompts_waits_and_computes_nothing() -> None:
    bench = Bench(parallel=3, batch=16, num_ctx=300, rates=Rates(lambda: 0))
    for id in range(3):
        bench.submit(id, [*TRUNK[:120], id], num_predict=3)
    bench.run()
    assert sorted(bench.done(id).cached_tokens for id in range(3)) == [0, 120, 120]
    for id in range(3):
        assert bench.text(id) == alone([*TRUNK[:120], id], 3, num_ctx=300)[0]


def test_those_who_wait_for_a_cancelled_prompt_go_on_alone() -> None:
    bench = Bench(parallel=2, batch=16, num_ctx=300)
    bench.submit(1, TRUNK[:120], num_predict=3)
    bench.submit(2, [*TRUNK[:120], 1], num_predict=3)
    bench.batcher.step()
    bench.batcher.cancel(1)
    bench.run()
    assert bench.text(2) == alone([*TRUNK[:120], 1], 3, num_ctx=300)[0]


def test_a_cache_grows_while_a_sequence_does() -> None:
    bench = Bench(parallel=2, num_ctx=3000, batch=64, capacity=300)
    bench.engine.end_tokens = frozenset()
    bench.submit(1, [1, 2], num_predict=1300)
    bench.submit(2, [2, 2], num_predict=10)
    bench.run()
    assert (bench.context.moves, bench.context.capacity) == (2, 3000)
    assert bench.done(1).eval_tokens == 1300


def test_no_memory_for_a_longer_context_fails_that_request_only() -> None:
    bench = Bench(parallel=2, num_ctx=3000, batch=64, capacity=100)
    bench.context.movable = False
    bench.submit(1, TRUNK, num_predict=3)
    bench.submit(2, [2, 2], num_predict=3)
    bench.run()
    assert frames.Failed(1, "failed to allocate memory for a longer context") in bench.sent
    assert bench.text(2) == alone([2, 2], 3)[0]


def test_logits_that_are_no_numbers_fail_the_request_and_leave_nothing() -> None:
    bench = Bench(parallel=1)
    bench.context.broken = {0}
    bench.submit(1, [1, 2])
    bench.run()
    (failed,) = [frame for frame in bench.sent if isinstance(frame, frames.Failed)]
    assert "not numbers" in failed.message
    assert bench.context.stored[0].tokens == []


def test_a_prompt_of_a_recurrent_model_leaves_a_checkpoint_before_its_end() -> None:
    """The next turn often begins otherwise from there on."""
    bench = Bench(parallel=1, num_ctx=300, kind=MemoryKind.STATE)
    bench.submit(1, TRUNK[:120], num_predict=3)
    bench.run()
    bench.submit(2, [*TRUNK[:115], 9, 9, 9], num_predict=3)
    bench.run()
    assert bench.done(2).cached_tokens == 112
    assert bench.text(2) == alone([*TRUNK[:115], 9, 9, 9], 3, num_ctx=300)[0]
