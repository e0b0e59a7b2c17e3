"""How long nothing has come from a process, and what is done about it."""

import pytest

from scheduler.clock import Alarm
from scheduler.silence import Silence
from tests.unit.scheduler.fakes import FakeClock

pytestmark = pytest.mark.anyio


async def test_a_sign_of_life_begins_it_anew() -> None:
    clock, rung = FakeClock(), list[float]()
    silence = Silence(clock)
    silence.watch(10.0, lambda: rung.append(clock.now()))
    await clock.advance(9.0)
    silence.broken()
    assert silence.seconds == 0.0
    await clock.advance(9.0)
    assert rung == []
    await clock.advance(100.0)
    assert rung == [19.0], "once, and ten seconds after the last sign"


@pytest.mark.parametrize("limit", [0.0, -1.0])
async def test_without_a_limit_it_may_last(limit: float) -> None:
    clock = FakeClock()
    Silence(clock).watch(limit, lambda: pytest.fail("nobody asked for that"))
    await clock.advance(1e6)


async def test_it_may_last_once_nobody_watches() -> None:
    clock = FakeClock()
    silence = Silence(clock)
    silence.watch(10.0, lambda: pytest.fail("nobody watches"))
    silence.unwatch()
    await clock.advance(100.0)
    assert clock.timers == []


async def test_an_alarm_rings_at_the_time_that_was_set_last_and_can_be_set_again() -> None:
    clock, rung = FakeClock(), list[str]()
    alarm = Alarm(clock)
    alarm.set(5.0, lambda: rung.append("first"))
    alarm.set(10.0, lambda: rung.append("second"))
    assert alarm.is_set
    await clock.advance(20.0)
    assert rung == ["second"]
    assert not alarm.is_set
    alarm.set(1.0, lambda: rung.append("third"))
    await clock.advance(1.0)
    assert rung == ["second", "third"]
