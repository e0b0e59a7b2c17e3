"""When a KV cache grows, and how far."""

from scheduler.runner.cache.growth import Growth
from scheduler.runner.engine import ModelLoadError


class Context:
    """Remembers the sizes it was asked for."""

    def __init__(self, capacity: int, *, memory: int = 1 << 30, movable: bool = True) -> None:
        self.capacity = capacity
        self.asked: list[int] = []
        self._memory = memory
        self._movable = movable

    def larger(self, cells: int) -> int:
        self.asked.append(cells)
        if cells > self._memory:
            raise ModelLoadError("no memory")
        return cells

    def move_to(self, larger: int) -> bool:
        if self._movable:
            self.capacity = larger // 2
        return self._movable


def test_room_that_is_there_is_no_work() -> None:
    context = Context(512)
    growth = Growth(context, num_ctx=4096, sequences=2)
    assert growth.ensure(512)
    assert context.asked == []


def test_it_grows_by_four_and_never_beyond_the_context() -> None:
    context = Context(512)
    growth = Growth(context, num_ctx=4096, sequences=2)
    assert growth.ensure(513)
    assert growth.ensure(2049)
    assert context.asked == [2 * 2048, 2 * 4096]


def test_a_long_prompt_gets_its_room_in_one_go() -> None:
    context = Context(512)
    assert Growth(context, num_ctx=32768, sequences=2).ensure(5000)
    assert context.asked == [2 * 5256]


def test_what_is_foreseen_is_made_once_and_used() -> None:
    context = Context(512)
    growth = Growth(context, num_ctx=4096, sequences=2)
    growth.foresee(200)
    growth.foresee(300)
    growth.foresee(400)
    assert growth.ensure(513)
    assert context.asked == [2 * 2048]


def test_what_was_foreseen_too_small_is_made_again() -> None:
    context = Context(512)
    growth = Growth(context, num_ctx=32768, sequences=2)
    growth.foresee(300)
    assert growth.ensure(9000)
    assert context.asked == [2 * 2048, 2 * 9256]


def test_no_memory_is_told_and_can_be_tried_again() -> None:
    context = Context(512, memory=100)
    growth = Growth(context, num_ctx=4096, sequences=2)
    assert not growth.ensure(600)
    assert not growth.ensure(600)
    assert len(context.asked) == 2
    assert not Growth(Context(512, movable=False), num_ctx=4096, sequences=2).ensure(600)
