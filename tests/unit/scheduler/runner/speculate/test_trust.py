"""How often a draft model is asked that does not pay."""

from scheduler.runner.speculate.trust import Record, Trust


def steps(trust: Trust, count: int, *, pays: bool) -> list[int]:
    """The steps in which it is asked."""
    return [step for step in range(count) if trust.wakes() and trust.asks(pays=pays)]


def test_what_pays_is_asked_every_time() -> None:
    assert steps(Record().trust(), 50, pays=True) == list(range(50))


def test_what_does_not_pay_is_asked_less_and_less_and_then_given_up() -> None:
    assert steps(Record().trust(), 2000, pays=False) == [16, 49, 114]


def test_what_pays_again_is_asked_again() -> None:
    trust = Record().trust()
    assert steps(trust, 17, pays=False) == [16]
    assert steps(trust, 10, pays=True) == list(range(10))
    assert steps(trust, 18, pays=False) == [16], "it rests as short as the first time"


def end(record: Record, *, pays: bool) -> bool:
    """A request of 200 steps; whether it was tried in it."""
    trust = record.trust()
    asked = steps(trust, 200, pays=pays)
    trust.ended()
    return bool(asked)


def test_the_next_requests_do_without_what_was_given_up() -> None:
    record = Record()
    tried = [end(record, pays=False) for _ in range(20)]
    assert [index for index, one in enumerate(tried) if one] == [0, 2, 6, 14]
    while not end(record, pays=True):
        pass
    assert end(record, pays=True)


def test_a_request_that_skipped_it_says_nothing_about_it() -> None:
    record = Record()
    assert end(record, pays=False)
    assert not end(record, pays=True), "skipped"
    assert end(record, pays=False)


def test_a_new_request_begins_with_what_is_known() -> None:
    record = Record()
    before = record.odd
    trust = record.trust()
    for _ in range(200):
        trust.learn(right=False)
    assert trust.odd < 0.01
    assert record.trust().odd < 0.1 < before
