"""Which context computes what, and that work is spread."""

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scheduler import frames
from scheduler.runner.embedding import lanes
from scheduler.runner.embedding.lanes import MOST_LANES, Lane, Lanes, Sharing, lanes_for
from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelLoadError

PARAMS = ContextParams(cells=2048, sequences=32, batch=2048, threads=4, embedding=True)


class FakeContext:
    made: list[ContextParams] = []
    most = 100

    def __init__(self, model: object, params: ContextParams, log: object) -> None:
        if len(self.made) == self.most:
            raise ModelLoadError("no memory")
        self.made.append(params)
        self.params = params
        self.physical_batch = params.batch
        self.stores = False
        self.threads = params.threads

    def use_threads(self, count: int) -> None:
        self.threads = count


class FakeLog:
    offloaded: tuple[int, int] = (0, 0)
    heard: list["FakeLog"] = []

    def __init__(self) -> None:
        self.listen()

    def listen(self) -> None:
        self.heard.append(self)

    def buffers(self) -> list[frames.Buffer]:
        return [frames.Buffer("CPU", "compute", 1)]


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeContext, "made", [])
    monkeypatch.setattr(FakeLog, "heard", [])
    monkeypatch.setattr(lanes, "Context", FakeContext)
    monkeypatch.setattr(lanes, "EngineLog", FakeLog)


def context(params: ContextParams = PARAMS) -> Any:
    return FakeContext(None, params, None)


def make(params: ContextParams = PARAMS, *, stores: bool = False, log: FakeLog | None = None) -> Lanes:
    first = context(params)
    first.stores = stores
    FakeContext.made.clear()
    return lanes_for(cast(Model, None), first, params, cast(EngineLog, log or FakeLog()))


class TestMaking:
    def test_each_core_has_a_lane_of_two_small_contexts(self) -> None:
        found = make()
        assert (found.width, found.longest, found.rows, found.sharing) == (4, 2048, 512, Sharing(19, 63))
        shapes = [(one.batch, one.cells, one.sequences, one.threads, one.flash_attention) for one in FakeContext.made]
        assert shapes == [(64, 64, 1, 4, False), *([(512, 512, 32, 1, None), (64, 64, 1, 1, False)] * 3)]
        assert len(found.buffers) == len(shapes)

    def test_not_more_than_a_few(self) -> None:
        assert make(replace(PARAMS, threads=64)).width == MOST_LANES

    def test_one_core_needs_one_lane(self) -> None:
        assert (make(replace(PARAMS, threads=1)).width, len(FakeContext.made)) == (1, 1)

    def test_a_lane_of_a_small_context_is_as_small(self) -> None:
        found = make(replace(PARAMS, cells=40, batch=40, sequences=20))
        assert (found.rows, found.sharing) == (40, Sharing(63, 40))

    def test_a_kv_cache_is_not_made_twice(self) -> None:
        found = make(stores=True)
        assert (found.width, found.sharing, FakeContext.made) == (1, Sharing(63, 63), [])

    def test_a_gpu_has_one_lane_and_larger_decodes(self) -> None:
        log = FakeLog()
        log.offloaded = (3, 3)
        assert (make(log=log).width, make(log=log).sharing, FakeContext.made) == (1, Sharing(512, 512), [])

    @pytest.mark.parametrize(("flash", "sharing"), [(True, Sharing(63, 63)), (False, Sharing(0, 0))])
    def test_flash_attention_as_the_operator_wants_it(self, flash: bool, sharing: Sharing) -> None:
        found = make(replace(PARAMS, flash_attention=flash, threads=2))
        assert found.sharing == sharing
        assert [one.flash_attention for one in FakeContext.made] == [flash]

    def test_without_memory_for_more_the_first_context_does_it_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FakeContext, "most", 3)
        found = make()
        assert (found.width, found.sharing, found.buffers) == (1, Sharing(63, 63), ())

    def test_the_log_goes_on_as_before(self) -> None:
        log = FakeLog()
        make(log=log)
        assert FakeLog.heard[-1] is log


def test_a_short_text_alone_is_computed_without_flash_attention() -> None:
    wide, narrow = (cast(Context, SimpleNamespace()) for _ in range(2))
    lane = Lane(wide, narrow)
    assert [lane.context_for(size) is narrow for size in (1, 19, 20, 63, 64, 999)] == [
        False, False, True, True, False, False
    ]  # fmt: skip
    assert Lane(wide).context_for(30) is wide


class TestRunning:
    def test_one_decode_has_all_cores(self) -> None:
        found = make()
        seen: list[int] = []
        found.run([0], lambda lane, pack: seen.append(cast(Any, lane.wide).threads))
        assert seen == [4]

    def test_several_are_computed_side_by_side_with_one_core_each(self) -> None:
        found = make()
        meeting = threading.Barrier(4, timeout=5)
        seen: list[tuple[int, int]] = []

        def work(lane: Lane, pack: int) -> None:
            meeting.wait()
            seen.append((pack, cast(Any, lane.narrow).threads))

        found.run(range(8), work)
        assert sorted(seen) == [(pack, 1) for pack in range(8)]

    def test_what_goes_wrong_on_a_lane_is_not_lost(self) -> None:
        def work(lane: Lane, pack: int) -> None:
            raise ValueError(pack)

        with pytest.raises(ValueError):
            make().run(range(8), work)
