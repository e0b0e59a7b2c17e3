"""The bookkeeping of one generation."""

from typing import Any

import pytest

from scheduler import frames
from scheduler.runner.cache.slots import Slot
from scheduler.runner.limits import Fit
from scheduler.runner.sequence import Matcher, Running
from scheduler.runner.text.assembler import TextAssembler


class NoChain:
    def sample(self, context: Any, row: int, /) -> int:
        raise NotImplementedError

    def sample_constrained(self, context: Any, row: int, matcher: Matcher, /) -> int:
        raise NotImplementedError

    def close(self) -> None: ...


@pytest.fixture
def running() -> Running:
    return Running(
        request=frames.Generate(7, "p"),
        fit=Fit([1, 2, 3, 4], keep=1, cut=5),
        slot=Slot(0),
        prompt_tokens=4,
        cached=0,
        chain=NoChain(),
        matcher=None,
        text=TextAssembler(),
        preserved=frozenset(),
        budget=10,
        began=100,
    )


def test_a_prompt_is_stored_piece_by_piece_then_token_by_token(running: Running) -> None:
    assert (running.id, running.waiting) == (7, 4)
    running.stored(3)
    assert (running.slot.tokens, running.waiting) == ([1, 2, 3], 1)
    running.stored(1)
    running.token = 9
    assert running.waiting == 0
    running.stored(1)
    assert running.slot.tokens == [1, 2, 3, 4, 9]


def test_a_restart_evaluates_from_the_beginning_and_knows_what_was_cut(running: Running) -> None:
    running.token = 9
    running.restart([1, 4, 9])
    assert (running.waiting, running.token, running.fit) == (3, -1, Fit([1, 4, 9], keep=1, cut=5))


def test_durations_end_with_the_first_token_and_with_the_last(running: Running) -> None:
    running.prefilled, running.generated, running.cached = 130, 3, 2
    done = running.done("length", 200, [1, 2])
    assert done == frames.Done(7, "length", 4, 2, 30, 3, 70, 5, [1, 2])


def test_a_generation_without_a_token_still_took_time(running: Running) -> None:
    """Zero would be left out of the answer."""
    done = running.done("stop", 100, None)
    assert (done.prompt_ns, done.eval_ns, done.eval_tokens) == (1, 1, 0)
