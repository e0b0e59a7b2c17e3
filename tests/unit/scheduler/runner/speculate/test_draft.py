"""A draft model that reads along and guesses; its tokens are a function of the sequence, made up."""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from scheduler.runner.sequence import Proposal
from scheduler.runner.speculate.draft import DraftModel
from scheduler.runner.speculate.guess import Guess
from tests.unit.scheduler.runner.fake_engine import END, VOCABULARY, FakeContext


def expected(history: Sequence[int]) -> int:
    """What the draft model says after these tokens."""
    return zlib.crc32(repr(list(history)).encode()) % (VOCABULARY - 1)


def continuation(history: Sequence[int], count: int) -> list[int]:
    tokens = list(history)
    for _ in range(count):
        tokens.append(expected(tokens))
    return tokens[len(history) :]


class DraftContext(FakeContext):
    """Gives its best token this probability."""

    sure = 0.99

    def next_token(self, row: int, noise: float) -> int:
        return expected(self.rows[row])

    def logits(self, row: int) -> NDArray[np.float32]:
        height = math.log(self.sure / (1 - self.sure) * (VOCABULARY - 1))
        wanted = self.next_token(row, 0.0)
        return np.array([height * (token == wanted) for token in range(VOCABULARY)], np.float32)


def draft_model(context: DraftContext, *, num_ctx: int = 1000, vocab_size: int = VOCABULARY) -> DraftModel:
    return DraftModel(
        context,
        num_ctx=num_ctx,
        sequences=len(context.stored),
        vocab_size=vocab_size,
        end_tokens=frozenset({END}),
        clock=lambda: 0,
    )


@pytest.fixture
def context() -> DraftContext:
    return DraftContext(sequences=4, batch_size=16)


def ask(model: DraftModel, tokens: list[int], *, most: int = 4, key: int = 1, sequence: int = 0) -> list[int] | None:
    (guess,) = model.guess([Proposal(key, sequence, tokens, most)])
    if guess is None:
        return None
    assert len(guess.odds) == len(guess.tokens)
    return guess.tokens


def test_it_says_what_it_would_write_itself(context: DraftContext) -> None:
    assert ask(draft_model(context), [1, 2, 3]) == continuation([1, 2, 3], 4)
    assert [len(batch) for batch in context.batches] == [3, 1, 1, 1], "the last token need not be evaluated"


@pytest.mark.parametrize("accepted", [0, 1, 2, 3, 4])
def test_after_a_verdict_it_evaluates_only_what_it_does_not_have(context: DraftContext, accepted: int) -> None:
    model = draft_model(context)
    guess = ask(model, [1, 2, 3])
    assert guess
    tokens = [1, 2, 3, *guess[:accepted], 14]
    assert ask(model, tokens) == continuation(tokens, 4)
    new = [len(batch) for batch in context.batches[4:]]
    assert new == [2 if accepted == 4 else 1, 1, 1, 1]


def test_it_can_go_on_where_it_guessed_further_than_was_verified(context: DraftContext) -> None:
    model = draft_model(context)
    guess = ask(model, [1, 2, 3])
    assert guess
    tokens = [1, 2, 3, *guess[:2]]
    assert ask(model, tokens) == continuation(tokens, 4)


def test_the_next_request_in_a_sequence_reuses_the_common_beginning(context: DraftContext) -> None:
    model = draft_model(context)
    ask(model, [1, 2, 3, 4, 5, 6], key=1)
    model.forget(1)
    context.batches.clear()
    assert ask(model, [1, 2, 3, 4, 9], key=2) == continuation([1, 2, 3, 4, 9], 4)
    assert len(context.batches[0]) == 1


def test_a_text_that_became_another_is_compared_anew(context: DraftContext) -> None:
    model = draft_model(context)
    ask(model, [1, 2, 3, 4, 5, 6, 7, 8])
    assert ask(model, [1, 2, 6, 7]) == continuation([1, 2, 6, 7], 4)


def test_a_long_prompt_is_read_a_batch_a_step(context: DraftContext) -> None:
    model = draft_model(context)
    tokens = [token % 7 for token in range(40)]
    assert ask(model, tokens) is None
    assert [len(batch) for batch in context.batches] == [16]
    assert ask(model, tokens) is None
    assert ask(model, tokens) == continuation(tokens, 4)


def test_sequences_share_batches_and_who_is_short_goes_first(context: DraftContext) -> None:
    model = draft_model(context)
    long, short, other = [5] * 30, [1, 2], [3]
    guesses = model.guess([Proposal(1, 2, long, 4), Proposal(2, 0, short, 2), Proposal(3, 3, other, 3)])
    assert guesses[0] is None
    assert [guess and guess.tokens for guess in guesses[1:]] == [continuation(short, 2), continuation(other, 3)]
    assert context.batches == [[0, 0, *[2] * 13, 3], [0, 3], [3]]


def test_it_stops_where_it_is_not_sure(context: DraftContext) -> None:
    model = draft_model(context)
    context.sure = 0.7
    assert ask(model, [1, 2]) == []
    context.sure = 0.8
    assert ask(model, [1, 2]) == continuation([1, 2], 4)


def test_it_stops_at_the_end_of_a_text() -> None:
    class Ending(DraftContext):
        def next_token(self, row: int, noise: float) -> int:
            return END

    assert ask(draft_model(Ending(sequences=1, batch_size=16)), [1, 2]) == [END]


def test_nan_is_not_sure(context: DraftContext) -> None:
    context.sure = math.nan
    assert ask(draft_model(context), [1, 2]) == []


def test_odds_are_learnt_by_how_sure_it_is(context: DraftContext) -> None:
    model = draft_model(context)

    def odd() -> float:
        (guess,) = model.guess([Proposal(1, 0, [1, 2], 1)])
        assert guess is not None
        return guess.odds[0]

    before = odd()
    for _ in range(50):
        odd()
        model.settle(1, 1, 0)
    assert odd() < 0.1 < before
    context.sure = 0.8
    assert odd() > 0.5
    model.forget(1)
    context.sure = 0.99
    assert odd() < 0.2, "another request begins with what is known of all"


def test_a_verdict_on_a_part_of_a_guess_says_nothing_of_the_rest(context: DraftContext) -> None:
    model = draft_model(context)
    ask(model, [1, 2])
    model.settle(1, 2, 2)
    model.settle(1, 2, 2)
    (guess,) = model.guess([Proposal(1, 0, [1, 2], 4)])
    assert isinstance(guess, Guess)
    assert guess.odds[0] > 0.95


def test_tokens_that_it_does_not_know_are_beyond_it(context: DraftContext) -> None:
    model = draft_model(context, vocab_size=10)
    assert ask(model, [1, 12, 3]) is None
    assert ask(model, [1, -5, 3], sequence=1) is None
    found = ask(model, [1, 2], sequence=2)
    assert found is not None
    assert all(token < 10 for token in found)


def test_no_text_beyond_its_context(context: DraftContext) -> None:
    model = draft_model(context, num_ctx=8)
    assert ask(model, [1, 2, 3, 4]) is not None
    assert ask(model, [1, 2, 3, 4, 5]) is None
    assert not model.broken


def test_its_memory_grows_with_the_text() -> None:
    context = DraftContext(sequences=2, batch_size=16, capacity=8)
    model = draft_model(context, num_ctx=40)
    assert ask(model, [1, 2, 3, 4]) is not None
    assert context.moves == 0
    assert ask(model, [1, 2, 3, 4, 5]) == continuation([1, 2, 3, 4, 5], 4)
    assert (context.moves, context.capacity) == (1, 16)


def test_without_memory_to_grow_it_is_given_up() -> None:
    context = DraftContext(sequences=2, batch_size=16, capacity=8)
    context.movable = False
    model = draft_model(context, num_ctx=40)
    assert ask(model, [1] * 6) is None
    assert model.broken
    assert ask(model, [1], sequence=1) is None


def test_after_a_failed_decode_it_is_given_up(context: DraftContext) -> None:
    model = draft_model(context)
    context.results = [0, -3]
    assert ask(model, [1, 2]) is None
    assert model.broken
    assert ask(model, [1, 2]) is None


def test_time_is_measured_for_a_token_of_each_sequence() -> None:
    ticks = iter(range(0, 10**9, 600))
    context = DraftContext(sequences=2, batch_size=64)
    model = DraftModel(context, num_ctx=99, sequences=2, vocab_size=16, end_tokens=(), clock=lambda: next(ticks))
    ask(model, [1] * 40)
    assert model.time == 0, "reading a prompt is no guessing"
    ask(model, [1] * 41, most=3)
    assert model.time == 200
