"""When frames leave."""

from scheduler.frames import Delta, Done, Failed, Frame, Step
from scheduler.runner.outbox import Outbox


class Bench:
    def __init__(self) -> None:
        self.now = 100
        self.sent: list[Frame] = []
        self.box = Outbox(self.sent.append, interval=10, clock=lambda: self.now)

    def passes(self, text: str, *, urgent: bool = False, at: int) -> None:
        self.now = at
        self.box.delta(Delta(1, text), urgent=urgent)
        self.box.pass_ended(idle=False)


def test_first_text_leaves_at_once_and_later_text_is_coalesced() -> None:
    bench = Bench()
    bench.passes("a", urgent=True, at=100)
    bench.passes("b", at=103)
    bench.passes("c", at=106)
    bench.passes("d", at=110)
    assert bench.sent == [Step([Delta(1, "a")], []), Step([Delta(1, "b"), Delta(1, "c"), Delta(1, "d")], [])]


def test_the_end_of_a_request_leaves_at_once() -> None:
    bench = Bench()
    bench.passes("a", urgent=True, at=100)
    bench.box.done(Done(1, "stop", 1, 0, 1, 1, 1))
    bench.box.pass_ended(idle=False)
    assert len(bench.sent) == 2


def test_nothing_stays_behind_when_the_loop_goes_idle() -> None:
    bench = Bench()
    bench.passes("a", urgent=True, at=100)
    bench.box.delta(Delta(1, "b"), urgent=False)
    bench.box.pass_ended(idle=True)
    assert len(bench.sent) == 2


def test_other_frames_do_not_overtake_text() -> None:
    bench = Bench()
    bench.box.delta(Delta(1, "a"), urgent=False)
    bench.box.send(Failed(1, "x"))
    assert bench.sent == [Step([Delta(1, "a")], []), Failed(1, "x")]
