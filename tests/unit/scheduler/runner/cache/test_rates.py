"""Copying or computing: decided by what was measured."""

from collections.abc import Iterator

from scheduler.runner.cache.rates import Rates


def clock(*times: int) -> Iterator[int]:
    return iter(times)


def test_nothing_measured_is_worth_a_try() -> None:
    assert Rates(lambda: 0).copy_pays(1 << 40, 1, times=8)


def test_the_cheaper_way_wins() -> None:
    times = clock(0, 1000)
    rates = Rates(lambda: next(times))
    rates.evaluated(100, 100_000)  # 1,000 a token
    with rates.copying(1000):  # 1 a byte
        pass
    assert rates.copy_pays(9_999, 10, times=1)
    assert not rates.copy_pays(10_000, 10, times=1)
    assert not rates.copy_pays(9_999, 10, times=2)


def test_small_steps_say_nothing_about_tokens() -> None:
    rates = Rates(lambda: 0)
    rates.evaluated(31, 1_000_000)
    assert rates.token_time == 0


def test_one_measurement_that_was_interrupted_does_not_count() -> None:
    rates = Rates(lambda: 0)
    for elapsed in (100, 100, 100_000, 100, 100):
        rates.evaluated(100, elapsed)
    assert rates.token_time == 1


def test_the_price_follows_what_is_measured() -> None:
    rates = Rates(lambda: 0)
    for elapsed in (100, 100, 100, 700, 700, 700):
        rates.evaluated(100, elapsed)
    assert rates.token_time == 7


def test_a_price_that_is_too_high_is_doubted_in_the_end() -> None:
    rates = Rates(lambda: 0)
    rates.evaluated(100, 100)
    rates.byte_time = 100.0
    answers = [rates.copy_pays(1000, 1000, times=1) for _ in range(200)]
    assert not any(answers[:80])
    assert answers[-1]
