"""Which requests share a loaded model, and which make it load again."""

import asyncio
import dataclasses

import pytest

from scheduler.errors import LoadFailed
from scheduler.requests import Limits
from scheduler.spec import Running, difference, resolve
from tests.unit.scheduler.fakes import settle, wish, world

pytestmark = pytest.mark.anyio

LIMITS = Limits()


def reload_reason(
    loaded: dict[str, object],
    asked: dict[str, object],
    *,
    trained: int = 131072,
    tier: int = 4096,
    num_ctx: int | None = None,
    num_batch: int = 512,
    use_mmap: bool | None = False,
) -> str | None:
    """Why a model loaded for `loaded` is not what `asked` needs; the rest is what the placement came to."""
    spec = resolve(wish("a", **loaded), LIMITS, tier)
    running = Running(spec, num_ctx or min(spec.num_ctx, trained), num_batch, use_mmap, trained)
    return difference(resolve(wish("a", **asked), LIMITS, tier), running)


@pytest.mark.parametrize(
    ("loaded", "asked", "reason"),
    [
        ({}, {}, None),
        ({"adapters": ("1",)}, {"adapters": ("2",)}, "adapters"),
        ({"adapters": ("1", "2")}, {"adapters": ("2", "1")}, "adapters"),
        ({"projectors": ("1",)}, {"projectors": ("2",)}, "projectors"),
        ({"num_batch": 1234}, {"num_batch": 512}, "num_batch"),
        ({"num_batch": 1234}, {}, "num_batch"),
        ({}, {"num_batch": 512}, None),
        ({}, {"num_gpu": 99}, "num_gpu"),
        ({"num_gpu": 99}, {"num_gpu": -1}, None),
        ({}, {"num_gpu": 0}, "num_gpu"),
        ({}, {"main_gpu": 0}, "main_gpu"),
        ({}, {"num_thread": 3}, "num_thread"),
        ({}, {"draft_num_predict": 4}, "draft_num_predict"),
        ({}, {"draft_num_predict": 0}, "draft_num_predict"),
        ({"draft_num_predict": 0}, {"draft_num_predict": -5}, None),
        ({"draft_num_predict": 64}, {"draft_num_predict": 1 << 60}, None),
        ({"draft": ("d",)}, {"draft": ("d",), "draft_num_predict": 4}, None),
        ({"draft": ("d",)}, {"draft": ("d",), "draft_num_predict": 5}, "draft_num_predict"),
        ({"draft": ("d",)}, {"draft": ("e",)}, "draft"),
        ({}, {"draft": ("d",)}, "draft"),
        ({}, {"shift": False}, "shift"),
        ({}, {"shift": True}, None),
        ({"num_ctx": 4096}, {"num_ctx": 2048}, "num_ctx"),
        ({"num_ctx": 4096}, {}, None),
        ({"num_ctx": 8192}, {}, "num_ctx"),
        ({}, {"num_ctx": 8192}, "num_ctx"),
        ({}, {"use_mmap": True}, "use_mmap"),
        ({}, {"use_mmap": False}, None),
        ({"use_mmap": True}, {}, "use_mmap"),
        ({}, {"use_mlock": True}, "use_mlock"),
        ({"use_mlock": True}, {}, None),
        ({}, {"use_mlock": False}, None),
        ({}, {"keep_alive": 3.0}, None),
    ],
)
def test_an_option_that_belongs_to_the_load_makes_it_load_again(
    loaded: dict[str, object], asked: dict[str, object], reason: str | None
) -> None:
    """Exactly the compared options count: adapters and projectors as ordered lists, the draft, shift, num_ctx,
    num_batch, num_gpu unless left open, main_gpu (unset is not 0), use_mmap, use_mlock, num_thread,
    draft_num_predict. What both sides left open is equal."""
    use_mmap = loaded.get("use_mmap", False)
    assert reload_reason(loaded, asked, use_mmap=bool(use_mmap)) == reason


def test_a_context_shrunk_for_want_of_memory_serves_who_asked_for_none() -> None:
    """A runner's automatic 262,144 tokens were shrunk to 32,768: an automatic request that resolves to 262,144 takes
    it."""
    assert reload_reason({}, {}, tier=262144, num_ctx=32768) is None


def test_an_automatic_batch_serves_who_asked_for_none() -> None:
    """A runner with an automatic batch of 1,024 serves an automatic request, which by itself would get 512."""
    assert reload_reason({}, {}, num_batch=1024) is None


def test_a_request_beyond_the_training_length_is_cut_to_it() -> None:
    """The runner has 4,096 tokens, which is the training length: an explicit num_ctx of 8,192 is clamped and served."""
    assert reload_reason({}, {"num_ctx": 8192}, trained=4096) is None


def test_an_engine_that_maps_by_itself_serves_who_asks_for_it() -> None:
    """Nobody has said whether to map, and the engine does: `use_mmap: true` asks for what is there."""
    assert reload_reason({}, {"use_mmap": True}, use_mmap=None) is None


@pytest.mark.parametrize(("asked", "effective"), [(None, False), (True, True), (False, False)])
def test_deepseek2_does_not_shift_unless_told_to(asked: bool | None, effective: bool) -> None:
    """Family deepseek2 with `shift` unset, true, false: the runner's shift is false, true, false."""
    assert resolve(wish("a", shift=asked, families=("deepseek2",)), LIMITS, 4096).shift is effective
    assert resolve(wish("a", shift=asked, architecture="deepseek2"), LIMITS, 4096).shift is effective
    assert resolve(wish("a", shift=asked), LIMITS, 4096).shift is (asked is not False)


@pytest.mark.parametrize(
    ("changes", "limits", "num_ctx", "automatic"),
    [
        ({}, {}, 4096, True),
        ({"num_ctx": 2}, {}, 4, False),
        ({"num_ctx": 512, "projectors": ("p",)}, {}, 2048, False),
        ({"projectors": ("p",)}, {"context_length": 512}, 2048, False),
        ({"num_ctx": 100000, "context_length": 32}, {}, 32, False),
        ({"context_length": 32}, {}, 32, True),
        ({}, {"context_length": 8192}, 8192, False),
        ({"num_ctx": 100}, {"context_length": 8192}, 100, False),
    ],
)
def test_the_context_of_a_request(
    changes: dict[str, object], limits: dict[str, int], num_ctx: int, automatic: bool
) -> None:
    """num_ctx by request, setting or machine; at least 4, for models that see 2,048, automatic or not; never more
    than the training length."""
    spec = resolve(wish("a", **changes), dataclasses.replace(LIMITS, **limits), 4096)
    assert (spec.num_ctx, spec.num_ctx_auto) == (num_ctx, automatic)


@pytest.mark.parametrize(
    ("changes", "batch"),
    [
        ({"num_ctx": 40960}, 2048),
        ({"num_ctx": 1024}, 1024),
        ({"num_ctx": 1024, "num_batch": 4096}, 4096),
        ({"num_ctx": 1024, "num_batch": 0}, None),
    ],
)
def test_the_batch_of_an_embedding_model(changes: dict[str, object], batch: int | None) -> None:
    assert resolve(wish("a", embedding=True, **changes), LIMITS, 4096).num_batch == batch


def test_widths_to_try() -> None:
    two = Limits(num_parallel=2)
    assert resolve(wish("a"), LIMITS, 4096).widths == (4, 2, 1)
    assert resolve(wish("a"), two, 4096).widths == (2,)
    assert resolve(wish("a", embedding=True), two, 4096).widths == (1,)
    assert resolve(wish("a", families=("qwen3vl",)), two, 4096).widths == (1,)
    assert resolve(wish("a", architecture="lfm2"), LIMITS, 4096).widths == (1,)


# -- in the running scheduler -------------------------------------------------------------------------------------


async def test_equal_requests_share_one_runner() -> None:
    """A is loaded by a request that still runs: an identical one gets the same runner, and nothing is started."""
    async with world() as w:
        first, second = await w.lease("a"), await w.lease("a")
        assert first.runner is second.runner
        assert w.spawn.names == ["a"]


async def test_other_adapters_wait_for_the_running_request_and_load_again() -> None:
    """A request with another list of adapters waits for the running one; the old runner ends, and a new one serves
    it."""
    async with world() as w:
        first = await w.lease("a", adapters=("1",))
        second = w.ask("a", adapters=("2",))
        await settle()
        assert not second.done()
        assert not w.spawn.runners[0].stopped
        first.release()
        lease = await second
        assert lease.runner is w.spawn.runners[1]
        assert w.spawn.runners[0].stopped
        assert w.spawn.runners[1].load.adapters == [("2", 1.0)]


async def test_num_gpu_asked_for_reloads_and_left_open_does_not() -> None:
    """All else is equal: num_gpu 99 loads again, and num_gpu -1 after it takes what is there."""
    async with world() as w:
        (await w.lease("a")).release()
        (await w.lease("a", num_gpu=99)).release()
        (await w.lease("a", num_gpu=-1)).release()
        assert len(w.spawn.runners) == 2


async def test_whoever_needs_only_the_vocabulary_takes_the_model_as_it_is() -> None:
    """A model is loaded with other options than a request names, which says that they do not matter."""
    async with world() as w:
        (await w.lease("a", num_ctx=64, num_gpu=99)).release()
        lease = await w.lease("a", num_ctx=32, adapters=("1",), as_loaded=True)
        assert lease.info.num_ctx == 64
        assert len(w.spawn.runners) == 1


async def test_the_options_count_where_a_model_for_its_vocabulary_is_not_loaded() -> None:
    async with world() as w:
        assert (await w.lease("a", num_ctx=32, as_loaded=True)).info.num_ctx == 32


async def test_the_training_length_is_what_is_loaded_and_shown() -> None:
    """100,000 tokens are asked of a model trained on 32: 32 are loaded, recorded and shown."""
    async with world() as w:
        lease = await w.lease("a", num_ctx=100000, context_length=32)
        assert w.spawn.runners[0].load.num_ctx == 32
        assert lease.info.num_ctx == 32
        assert [row.context_length for row in w.scheduler.loaded()] == [32]


async def test_a_training_length_that_only_the_engine_knows_does_not_load_for_ever() -> None:
    async with world() as w:
        w.spawn.trained = {"a": 64}
        for _ in range(3):
            (await w.lease("a", num_ctx=512, context_length=0)).release()
        assert w.spawn.names == ["a"]


async def test_another_tag_of_the_same_weights_shares_the_runner_under_its_first_name() -> None:
    """Two tags of the same weights: the second is served by the runner of the first, whose name is the one shown."""
    async with world() as w:
        (await w.lease("blob", name="one:latest")).release()
        (await w.lease("blob", name="two:latest")).release()
        assert w.spawn.names == ["blob"]
        assert [row.model.name for row in w.scheduler.loaded()] == ["one:latest"]


async def test_a_model_without_weights_of_its_own_is_known_by_its_digest() -> None:
    """Two names of one manifest share the runner; a name of another manifest has to wait for its own load."""
    async with world() as w:
        (await w.lease("digest:1", name="one:latest", weights=())).release()
        (await w.lease("digest:1", name="two:latest", weights=())).release()
        assert len(w.spawn.runners) == 1
        w.spawn.hold = True
        other = w.ask("digest:2", name="three:latest", weights=())
        await settle()
        assert not other.done()
        w.spawn.runners[1].finish_load()
        (await other).release()


async def test_a_vision_model_records_its_least_context() -> None:
    """A model that sees, and num_ctx 512, asked for or by default: 2,048 tokens are loaded and shown."""
    for changes, limits in (({"num_ctx": 512}, LIMITS), ({}, Limits(context_length=512))):
        async with world(limits=limits) as w:
            await w.lease("a", projectors=("p",), **changes)
            assert w.spawn.runners[0].load.num_ctx == 2048
            assert [row.context_length for row in w.scheduler.loaded()] == [2048]


async def test_the_lease_tells_whether_its_context_may_slide() -> None:
    async with world() as w:
        assert (await w.lease("a", families=("deepseek2",))).shift is False
        assert (await w.lease("b")).shift is True


def test_a_file_with_more_layers_than_any_engine_takes_is_not_planned_for() -> None:
    """They would be listed one by one."""
    assert resolve(wish("a", block_count=512), LIMITS, 4096)
    with pytest.raises(LoadFailed, match="claims 4294967295 layers") as caught:
        resolve(wish("a", block_count=2**32 - 1), LIMITS, 4096)
    assert caught.value.unsupported


# -- does it still answer? ----------------------------------------------------------------------------------------


async def test_a_runner_heard_of_just_now_is_not_asked() -> None:
    """All is equal and the runner well: it is used again, and the question is saved where nobody can doubt."""
    async with world() as w:
        (await w.lease("a")).release()
        (await w.lease("a")).release()
        assert w.spawn.runners[0].asked == 0


async def test_a_silent_runner_that_answers_is_used_again() -> None:
    """All is equal and the ping succeeds: the same runner."""
    async with world() as w:
        (await w.lease("a")).release()
        w.spawn.runners[0].silence = 60.0
        (await w.lease("a")).release()
        assert w.spawn.runners[0].asked == 1
        assert w.spawn.names == ["a"]
        await settle()
        assert len(w.clock.timers) == 1, "only the keep-alive"


async def test_a_runner_that_does_not_answer_for_ten_seconds_is_replaced() -> None:
    """All is equal but the ping fails: those who asked meanwhile get a fresh load."""
    async with world() as w:
        (await w.lease("a")).release()
        stuck = w.spawn.runners[0]
        stuck.silence, stuck.mute = 60.0, True
        waiting = [w.ask("a") for _ in range(3)]
        await w.clock.advance(9.9)
        assert not any(task.done() for task in waiting)
        assert stuck.asked == 1, "they share the question"
        await w.clock.advance(0.2)
        for task in waiting:
            assert (await task).runner is w.spawn.runners[1]
        assert stuck.stopped
        assert stuck.graces == [0.0]
        assert w.spawn.names == ["a", "a"]


async def test_a_runner_that_dies_over_the_question_is_replaced_at_once() -> None:
    """The process is gone by the time it is asked: no client hears of it."""
    async with world() as w:
        (await w.lease("a")).release()
        stuck = w.spawn.runners[0]
        stuck.silence, stuck.mute = 60.0, True
        waiting = w.ask("a")
        await settle()
        stuck.die()
        lease = await asyncio.wait_for(waiting, 5)
        assert lease.runner is w.spawn.runners[1]


async def test_a_client_that_leaves_during_the_question_leaves_nothing() -> None:
    """Its lease is given back; another who waits for the same answer gets it."""
    async with world() as w:
        (await w.lease("a", keep_alive=5.0)).release()
        stuck = w.spawn.runners[0]
        stuck.silence, stuck.mute = 60.0, True
        gone, stays = w.ask("a"), w.ask("a")
        await settle()
        gone.cancel()
        await settle()
        stuck.gone.set_result(None)
        assert (await asyncio.wait_for(stays, 5)).runner is stuck
        stays.result().release()
        await w.clock.advance(5.0)
        assert w.loaded == [], "nobody holds it any more"
