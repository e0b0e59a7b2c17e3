"""Cutting prompts, shifting contexts, bounding answers."""

import pytest

from scheduler.runner.limits import PROMPT_TOO_LONG, PromptTooLong, cut_length, fit_prompt, shift_range, token_budget


@pytest.mark.parametrize(
    ("context", "keep", "length"), [(8, 3, 6), (4096, 4, 2050), (4096, 5, 2051), (8, 99, 7), (8, -1, 4), (1, 0, 0)]
)
def test_length_of_a_cut_prompt(context: int, keep: int, length: int) -> None:
    assert cut_length(context, keep) == length


def test_the_beginning_and_the_newest_tokens_survive_a_cut() -> None:
    fit = fit_prompt(range(10), 8, num_keep=3, adds_bos=False, truncate=True, shift=True)
    assert fit.tokens == [0, 1, 2, 7, 8, 9]
    assert fit.cut == 4


def test_the_begin_token_is_kept_beside_num_keep() -> None:
    fit = fit_prompt(range(5000), 4096, num_keep=4, adds_bos=True, truncate=True, shift=True)
    assert len(fit.tokens) == 2051
    assert fit.tokens[:6] == [0, 1, 2, 3, 4, 2954]


@pytest.mark.parametrize("count", [1, 7])
def test_a_prompt_that_leaves_room_for_one_token_is_left_alone(count: int) -> None:
    fit = fit_prompt(range(count), 8, num_keep=4, adds_bos=False, truncate=True, shift=True)
    assert fit.tokens == list(range(count))
    assert fit.cut == 0


def test_without_shift_a_long_prompt_is_refused() -> None:
    with pytest.raises(PromptTooLong, match="the prompt is longer than") as refused:
        fit_prompt(range(8), 8, num_keep=4, adds_bos=False, truncate=True, shift=False)
    assert str(refused.value) == PROMPT_TOO_LONG


def test_without_truncation_the_numbers_are_named() -> None:
    with pytest.raises(PromptTooLong) as refused:
        fit_prompt(range(9), 8, num_keep=4, adds_bos=False, truncate=False, shift=True)
    message = "request (9 tokens) exceeds the available context size (8 tokens), try increasing it"
    assert str(refused.value) == message


@pytest.mark.parametrize("num_keep", [-1, 0, 3, 100])
@pytest.mark.parametrize("context", [1, 2, 4, 5, 64])
def test_a_cut_prompt_always_fits(context: int, num_keep: int) -> None:
    fit = fit_prompt(range(200), context, num_keep=num_keep, adds_bos=True, truncate=True, shift=True)
    assert len(fit.tokens) < context
    assert len(fit.tokens) + fit.cut == 200


@pytest.mark.parametrize(("stored", "context", "keep"), [(2047, 2048, 5), (63, 64, 60), (63, 64, 0), (7, 8, 7)])
def test_a_shift_forgets_the_older_half_behind_what_is_kept(stored: int, context: int, keep: int) -> None:
    start, end = shift_range(stored, context, keep)
    assert start == min(keep, context - 4)
    assert end - start == (stored - start) // 2 or end - start == 1
    assert end <= stored


@pytest.mark.parametrize(("wanted", "bound"), [(-1, 20480), (-2, 20480), (0, 20480), (100, 100), (30000, 20480)])
def test_an_answer_never_exceeds_ten_contexts(wanted: int, bound: int) -> None:
    assert token_budget(wanted, 2048) == bound
