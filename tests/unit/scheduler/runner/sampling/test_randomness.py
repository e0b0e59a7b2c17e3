"""Numbers that depend on a seed alone."""

import pytest

from scheduler.runner.sampling.randomness import uniform, word


def first(seed: int, count: int = 4) -> list[float]:
    draw = uniform(seed)
    return [draw() for _ in range(count)]


def test_the_words_are_those_of_the_twister() -> None:
    """Its 10,000th word from the seed 5489 is 4123659995 (ISO C++, [rand.predef]): half of the 5,000th number."""
    draw = uniform(5489)
    numbers = [draw() for _ in range(5_000)]
    assert int(numbers[-1] * 2**32) == 4_123_659_995


def test_a_seed_always_gives_the_same_numbers_between_0_and_1() -> None:
    assert first(42) == first(42)
    assert first(42) != first(43)
    assert all(0 <= number < 1 for number in first(42, 100))


@pytest.mark.parametrize(("seed", "same"), [(1 << 32, 0), (-2, 0xFFFFFFFE), ((1 << 40) + 7, 7), (0xFFFFFFFF, -2)])
def test_32_bits_of_it_count(seed: int, same: int) -> None:
    assert first(seed) == first(same)
    assert word(seed) == word(same)


def test_minus_one_is_another_one_each_time() -> None:
    assert first(-1) != first(-1)
    assert word(-1) == 0xFFFFFFFF, "what llama.cpp takes for it"


def test_streams_do_not_disturb_each_other() -> None:
    one, other, third = uniform(1), uniform(1), uniform(-1)
    mixed = list[float]()
    for _ in range(4):
        mixed.append(one())
        for stream in (other, other, third):
            stream()
    assert mixed == first(1)
