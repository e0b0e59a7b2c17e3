"""Guessing in the loop that all generations share, on made-up models."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.sequence import Proposal
from scheduler.runner.speculate import Speculation
from scheduler.runner.speculate.draft import DraftModel
from tests.unit.scheduler.runner.fake_engine import END, VOCABULARY, Bench, FakeContext, alone
from tests.unit.scheduler.runner.speculate.test_draft import DraftContext


class Knowing(DraftContext):
    """Says what the target says, but for every n-th time."""

    def __init__(self, *, wrong_every: int, sequences: int = 4, batch_size: int = 16) -> None:
        super().__init__(sequences=sequences, batch_size=batch_size)
        self.wrong_every = wrong_every
        self.said = 0

    def next_token(self, row: int, noise: float) -> int:
        self.said += 1
        return (FakeContext.next_token(self, row, 0.0) + (self.said % self.wrong_every == 0)) % VOCABULARY


def still() -> int:
    return 0


def speculation(
    draft: FakeContext | None = None, *, clock: Callable[[], int] = still, draft_most: int = 4
) -> Speculation:
    model = None
    if draft is not None:
        model = DraftModel(
            draft,
            num_ctx=100,
            sequences=len(draft.stored),
            vocab_size=VOCABULARY,
            end_tokens=frozenset({END}),
            clock=clock,
        )
    return Speculation(
        most=32, draft_most=draft_most, end_tokens=frozenset({END}), most_rows=200, draft=model, clock=clock
    )


PROMPTS = st.lists(
    st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(-1, 3)), min_size=1, max_size=5
)


@given(PROMPTS, st.integers(1, 6), st.integers(1, 4))
def test_answers_are_the_same_as_without(requests: list[tuple[list[int], int]], wrong_every: int, most: int) -> None:
    """Whatever the draft model says, greedy and seeded, with room for shifting contexts."""
    bench = Bench(speculator=speculation(Knowing(wrong_every=wrong_every), draft_most=most))
    for id, (prompt, seed) in enumerate(requests):
        bench.submit(id, prompt, seed=seed, num_predict=20)
    bench.run()
    for id, (prompt, seed) in enumerate(requests):
        assert bench.text(id) == alone(prompt, 20, seed)[0]


def test_a_good_draft_model_saves_steps_of_the_target() -> None:
    prompt = [1, 2, 3]
    while len(alone(prompt, 40, num_ctx=100)[0]) < 40:  # a text that does not end early
        prompt = [prompt[-1] + 1, *prompt]
    bench = Bench(num_ctx=100, speculator=speculation(Knowing(wrong_every=1 << 20)))
    bench.submit(1, prompt, num_predict=40)
    bench.run()
    done = bench.done(1)
    assert bench.text(1) == alone(prompt, 40, num_ctx=100)[0]
    assert len(bench.context.batches) < 40 // 2
    assert done.accepted_tokens == done.drafted_tokens > 20


def test_a_bad_draft_model_is_soon_not_asked() -> None:
    draft = Knowing(wrong_every=1)
    spec = speculation(draft)
    rows = steps = 0
    tokens = [1, 2, 3]
    for step in range(400):
        tokens.append(20 + step)  # nothing repeats
        (guess,) = spec.propose([Proposal(1, 0, [token % 15 for token in tokens[-8:]], 8)])
        if guess:
            rows += len(guess)
            steps += 1
            spec.settle(1, len(guess), 0)
    assert steps < 20
    assert rows < 40


class Clock:
    """A machine on which a step takes a fixed time and something for each row."""

    def __init__(self, fixed: int, row: int) -> None:
        self.now: int = 0
        self._fixed, self._row = fixed, row

    def __call__(self) -> int:
        return self.now

    def step(self, rows: int) -> None:
        self.now += self._fixed + self._row * rows


def copying(spec: Speculation, clock: Clock, texts: list[Iterator[int]], count: int) -> tuple[int, int]:
    """Steps that it takes until each text has so many tokens, and the nanoseconds."""
    tokens = [[next(text) for _ in range(60)] for text in texts]
    goal = 60 + count
    steps = 0
    began = clock.now
    while any(len(one) < goal for one in tokens):
        wanted = [Proposal(key, key, one, 32) for key, one in enumerate(tokens)]
        guesses = spec.propose(wanted)
        clock.step(len(texts) + sum(map(len, guesses)))
        steps += 1
        for key, (text, guess) in enumerate(zip(texts, guesses, strict=True)):
            accepted = 0
            while True:
                token = next(text)
                tokens[key].append(token)
                if accepted == len(guess) or guess[accepted] != token:
                    break
                accepted += 1
            if guess:
                spec.settle(key, len(guess), accepted)
    return steps, clock.now - began


def cycle(start: int) -> Iterator[int]:
    while True:
        yield from range(start, start + 50)


def free(start: int) -> Iterator[int]:
    yield from range(start, start + 100_000)


@pytest.mark.parametrize("streams", [1, 4])
def test_where_rows_are_cheap_a_copy_takes_few_steps(streams: int) -> None:
    clock = Clock(1000, 10)
    steps, _ = copying(speculation(clock=clock), clock, [cycle(100 * n) for n in range(streams)], 500)
    assert steps < 80


@pytest.mark.parametrize("streams", [1, 4])
def test_where_rows_cost_their_full_price_guessing_stops_before_it_does_harm(streams: int) -> None:
    clock = Clock(10, 1000)
    spec = speculation(clock=clock)
    _, time = copying(spec, clock, [cycle(100 * n) for n in range(streams)], 500)
    assert time < 1.05 * 500 * (10 + 1000 * streams)
    steps, _ = copying(spec, clock, [cycle(100 * n) for n in range(10, 10 + streams)], 500)
    assert steps > 450


def test_guessing_is_as_deep_as_the_machine_rewards() -> None:
    """At half price a row, a copy still gains."""
    clock = Clock(500, 500)
    _, time = copying(speculation(clock=clock), clock, [cycle(0)], 1000)
    assert time < 1000 * 1000 / 1.5


def test_free_text_costs_nothing() -> None:
    clock = Clock(500, 500)
    steps, _ = copying(speculation(clock=clock), clock, [free(0)], 300)
    assert steps == 300


def test_looking_takes_no_noticeable_part_of_the_time() -> None:
    """A clock that runs while it looks: after a while it looks at every eighth step only."""

    class Slow(Clock):
        def __call__(self) -> int:
            self.now += 40
            return self.now

    clock = Slow(1000, 0)
    spec = speculation(clock=clock)
    copying(spec, clock, [free(0)], 400)
    looked = clock.now - 400 * 1000
    assert looked < 400 * 80 / 4
    steps, _ = copying(spec, clock, [cycle(0)], 400)
    assert steps < 200, "and a copy is still noticed"


def test_a_request_that_comes_or_goes_spoils_no_measurement() -> None:
    clock = Clock(1000, 10)
    spec = speculation(clock=clock)
    copying(spec, clock, [cycle(0)], 100)
    clock.now += 10**12  # idle
    spec.forget(0)
    steps, _ = copying(spec, clock, [cycle(0), cycle(100)], 500)
    assert steps < 80


def test_what_a_copy_brings_is_not_credited_to_the_draft_model() -> None:
    """It is never sure here, but the text repeats itself."""
    draft = Knowing(wrong_every=3, batch_size=200)
    draft.sure = 0.1
    spec = speculation(draft)
    tokens = [1, 2, 3, 4, 5]
    for _ in range(30):
        (guess,) = spec.propose([Proposal(1, 0, tokens, 2)])
        for right in guess:
            assert right == tokens[-5]
            tokens.append(right)
        if guess:
            spec.settle(1, len(guess), len(guess))
        tokens.append(tokens[-5])
    asked = draft.said
    assert spec.accepted > 20
    for _ in range(10):
        spec.propose([Proposal(1, 0, tokens, 2)])
        tokens.append(tokens[-5])
    assert draft.said == asked


def test_what_has_ended_is_forgotten() -> None:
    spec = speculation(Knowing(wrong_every=3))
    spec.propose([Proposal(7, 0, [1, 2, 3], 4)])
    spec.forget(7)
    spec.forget(7)
    spec.forget(8)
    spec.settle(7, 1, 1)
    assert (spec.proposed, spec.accepted) == (1, 1)
