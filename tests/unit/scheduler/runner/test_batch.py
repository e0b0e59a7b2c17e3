"""The batching loop on an engine whose next token is a pure function of the sequence so far."""

import random
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.batch import Batcher, EngineFailure
from scheduler.runner.limits import fit_prompt
from scheduler.runner.outbox import Outbox
from scheduler.runner.prefix import Slots
from scheduler.runner.sequence import Job

END = 15
VOCABULARY = 16


class FakeContext:
    """KV memory as lists of tokens; refuses what the real engine would abort on."""

    def __init__(self, *, sequences: int, batch_size: int, can_shift: bool = True, partial: bool = True) -> None:
        self.tokens: NDArray[np.int32] = np.zeros(batch_size, np.int32)
        self.positions: NDArray[np.int32] = np.zeros(batch_size, np.int32)
        self.sequences: NDArray[np.int32] = np.zeros(batch_size, np.int32)
        self.outputs: NDArray[np.int8] = np.zeros(batch_size, np.int8)
        self.batch_size = batch_size
        self.can_shift = can_shift
        self.partial = partial
        self.stored: list[list[int]] = [[] for _ in range(sequences)]
        self.rows: dict[int, list[int]] = {}
        self.results: list[int] = []
        """Codes that the next decodes return instead of success."""
        self.batches: list[list[int]] = []
        """Sequence ids of every successful batch."""

    def decode(self, count: int) -> int:
        assert 0 < count <= self.batch_size
        if self.results and (code := self.results.pop(0)):
            return code
        order: list[int] = self.sequences[:count].tolist()
        assert order == sorted(order), "rows out of order fall apart into one physical batch a sequence"
        self.batches.append(order)
        self.rows = {}
        for row in range(count):
            held = self.stored[order[row]]
            assert int(self.positions[row]) == len(held), "positions must continue"
            held.append(int(self.tokens[row]))
            if self.outputs[row]:
                self.rows[row] = list(held)
        return 0

    def next_token(self, row: int, noise: float) -> int:
        seed = zlib.crc32(bytes(self.rows[row])) ^ int(noise * (1 << 20))
        return seed % VOCABULARY

    def logits(self, row: int) -> NDArray[np.float32]:
        return np.zeros(VOCABULARY, np.float32)

    def remove(self, sequence: int, start: int, end: int = -1) -> bool:
        if not self.partial and start:
            return False
        held = self.stored[sequence]
        del held[start : len(held) if end < 0 else end]
        return True

    def shift(self, sequence: int, start: int, end: int, delta: int) -> None:
        assert self.can_shift
        assert len(self.stored[sequence]) == end + delta


class FakeChain:
    def __init__(self, context: FakeContext, seed: int) -> None:
        self._context = context
        self._random = random.Random(seed) if seed >= 0 else None
        self.closed = False

    def sample(self, context: object, row: int, /) -> int:
        return self._context.next_token(row, self._random.random() if self._random else 0.0)

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    """Implements `batch.Engine`: token t is written as the letter of its number."""

    def __init__(self, context: FakeContext, num_ctx: int) -> None:
        self.context = context
        self.num_ctx = num_ctx
        self.end_tokens = frozenset({END})
        self.chains: list[FakeChain] = []

    def piece(self, token: int) -> bytes:
        return bytes([97 + token])

    def written_piece(self, token: int) -> bytes:
        return self.piece(token)

    def control_tokens(self, texts: Sequence[str]) -> frozenset[int]:
        return frozenset()

    def tokenize(self, text: str) -> list[int]:
        return [ord(letter) - 97 for letter in text]

    def chain(self, sampling: frames.Sampling, prompt: Sequence[int]) -> FakeChain:
        chain = FakeChain(self.context, sampling.seed)
        self.chains.append(chain)
        return chain


class Bench:
    """A batcher with everything around it, driven by hand."""

    def __init__(self, *, parallel: int = 4, batch: int = 16, num_ctx: int = 24, **context: bool) -> None:
        self.context = FakeContext(sequences=parallel, batch_size=batch, **context)
        self.engine = FakeEngine(self.context, num_ctx)
        self.sent: list[frames.Frame] = []
        ticks = iter(range(1, 1 << 40))
        outbox = Outbox(self.sent.append, interval=3, clock=lambda: next(ticks))
        self.batcher = Batcher(self.engine, Slots(parallel), outbox, clock=lambda: next(ticks))

    def submit(self, id: int, prompt: list[int], *, num_predict: int = 12, seed: int = -1, shift: bool = True) -> None:
        request = frames.Generate(
            id=id,
            prompt="".join(chr(97 + token) for token in prompt),
            num_predict=num_predict,
            sampling=frames.Sampling(seed=seed),
            shift=shift,
            num_keep=2,
        )
        fit = fit_prompt(prompt, self.engine.num_ctx, num_keep=2, adds_bos=False, truncate=True, shift=True)
        self.batcher.submit(Job(request, fit))

    def run(self) -> None:
        while self.batcher.busy:
            self.batcher.step()

    def text(self, id: int) -> str:
        return "".join(
            delta.text
            for frame in self.sent
            if isinstance(frame, frames.Step)
            for delta in frame.deltas
            if delta.id == id
        )

    def done(self, id: int) -> frames.Done:
        (found,) = [
            done for frame in self.sent if isinstance(frame, frames.Step) for done in frame.done if done.id == id
        ]
        return found


prompts = st.lists(st.integers(0, 14), min_size=1, max_size=40)
requests = st.lists(st.tuples(prompts, st.integers(1, 40), st.sampled_from([-1, 0, 7])), min_size=1, max_size=6)


def alone(prompt: list[int], num_predict: int, seed: int, **context: bool) -> tuple[str, frames.Done]:
    bench = Bench(parallel=1, batch=64, **context)
    bench.submit(1, prompt, num_predict=num_predict, seed=seed)
    bench.run()
    return bench.text(1), bench.done(1)


@given(requests, st.integers(1, 3), st.integers(3, 20), st.lists(st.integers(0, 5), max_size=6), st.booleans())
def test_every_schedule_gives_each_request_the_output_it_gets_alone(
    wanted: list[tuple[list[int], int, int]], parallel: int, batch: int, pauses: list[int], partial: bool
) -> None:
    """Greedy and seeded; nothing is lost or said twice, whatever runs beside it, also where contexts slide."""
    bench = Bench(parallel=parallel, batch=batch, partial=partial)
    for id, (prompt, num_predict, seed) in enumerate(wanted):
        bench.submit(id, prompt, num_predict=num_predict, seed=seed)
        for _ in range(pauses[id % len(pauses)] if pauses else 0):
            bench.batcher.step()
    bench.run()
    for id, (prompt, num_predict, seed) in enumerate(wanted):
        text, done = alone(prompt, num_predict, seed, partial=partial)
        assert bench.text(id) == text
        assert (bench.done(id).reason, bench.done(id).eval_tokens) == (done.reason, done.eval_tokens)
    assert all(chain.closed for chain in bench.engine.chains)


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
    assert len(bench.context.stored[0]) == 9
