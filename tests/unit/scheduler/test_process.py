"""The runner's process, with a real process and real pipes but no engine."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from scheduler import frames
from scheduler.dying import is_exiting
from scheduler.errors import LoadFailed, LoadStalled, RunnerDied, RunnerFailed, ShuttingDown, SpareHung, WeightsMissing
from scheduler.loop import Scheduler
from scheduler.ping import PATIENCE, SILENCE, Ping
from scheduler.ports import Stream
from scheduler.process import CONFIRMATION, RunnerProcess, State
from scheduler.requests import Limits
from scheduler.spawner import RunnerSpawner
from tests.unit.scheduler.fakes import FakeClock, FakeDevices, until, wish

pytestmark = pytest.mark.anyio

FAKE = (sys.executable, "-P", str(Path(__file__).with_name("fake_runner.py")))
LINUX = sys.platform.startswith("linux")
T = TypeVar("T")


async def soon(awaitable: Awaitable[T]) -> T:
    """The result, or a failed test instead of one that hangs."""
    return await asyncio.wait_for(awaitable, 20)


def load(tmp_path: Path, name: str = "model") -> frames.Load:
    (tmp_path / name).touch()
    return frames.Load(weights=[str(tmp_path / name)], num_ctx=8, parallel=1, num_batch=8)


@asynccontextmanager
async def process(
    tmp_path: Path,
    name: str = "model",
    *,
    environment: dict[str, str] | None = None,
    load_timeout: float = 0.0,
    options: tuple[str, ...] = (),
) -> AsyncGenerator[RunnerProcess]:
    runner = RunnerProcess(environment or {}, command=(*FAKE, *options), load_timeout=load_timeout)
    runner.assign(load(tmp_path, name))
    try:
        yield runner
    finally:
        pid = runner.pid
        await soon(runner.stop(grace=5.0))
        if pid is not None:
            with pytest.raises(ProcessLookupError):  # it is gone, and reaped
                os.kill(pid, 0)


async def text(stream: Stream) -> str:
    """All of an answer."""
    parts: list[str] = []
    while True:
        chunk = await soon(stream.next())
        parts += [delta.text for delta in chunk.deltas]
        if chunk.done is not None:
            return "".join(parts)


async def test_requests_are_answered_side_by_side(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        loaded = await soon(runner.ready())
        assert (loaded.num_ctx, runner.state, runner.alive) == (8, State.READY, True)
        first = runner.generate({"prompt": "say:a"})
        second = runner.generate({"prompt": "say:b say:c done"})
        assert await text(second) == "bc!"
        assert [delta.text for delta in (await soon(first.next())).deltas] == ["a"]
        counted = await soon(runner.tokenize(["one", ""], add_special=False, count_only=True))
        assert counted.counts == [3, 0]
        assert await soon(runner.detokenize([104, 105])) == "hi"
        assert (await soon(runner.embed({"inputs": ["a", "b"]}))).prompt_tokens == 2
        first.close()


async def test_a_reader_gets_all_that_has_come_at_once(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        stream = runner.generate({"prompt": "say:a say:b say:c done"})
        await soon(runner.detokenize([]))
        chunk = await soon(stream.next())
        assert [delta.text for delta in chunk.deltas] == ["a", "b", "c", "!"]
        assert chunk.done is not None


async def test_leaving_sends_a_cancel_and_what_still_comes_is_dropped(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        stream = runner.generate({"prompt": "say:a"})
        await soon(stream.next())
        stream.close()
        stream.close()
        witness = runner.generate({"prompt": "say:x"})
        heard = [delta.text for delta in (await soon(witness.next())).deltas]
        while "cancelled 1" not in heard:
            heard += [delta.text for delta in (await soon(witness.next())).deltas]
        assert heard.count("cancelled 1") == 1
        question = asyncio.create_task(runner.tokenize(["never"], add_special=False, count_only=True))
        await asyncio.sleep(0)
        question.cancel()
        assert await soon(runner.detokenize([33])) == "!"


async def test_a_failed_request_leaves_the_runner_as_it_is(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        stream = runner.generate({"prompt": "fail:Compute_error."})
        with pytest.raises(RunnerFailed, match=r"^Compute error\.$"):
            await soon(stream.next())
        assert await text(runner.generate({"prompt": "done"})) == "!"


async def test_a_failure_for_want_of_memory_says_so(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        messages: list[str] = []

        async def ask() -> bool:
            with pytest.raises(RunnerFailed) as failed:
                await soon(runner.generate({"prompt": "fail:Compute_error."}).next())
            messages.append(failed.value.message)
            return "out of memory" in failed.value.message

        await soon(runner.generate({"prompt": "log:CUDA_error:_out_of_memory say:x"}).next())
        for _ in range(1000):  # the log has a pipe of its own
            if await ask():
                break
        assert messages[-1] == "Compute error.: CUDA error: out of memory"


async def test_a_missing_file_starts_nothing(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        (tmp_path / "model").unlink()
        with pytest.raises(WeightsMissing) as missing:
            await runner.ready()
        assert missing.value.path == str(tmp_path / "model")
        assert runner.pid is None


async def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    runner = RunnerProcess({}, command=(str(tmp_path / "nothing"),))
    runner.assign(load(tmp_path))
    with pytest.raises(OSError):
        await runner.ready()
    await soon(runner.stop(grace=1.0))


async def test_a_refused_model(tmp_path: Path) -> None:
    async with process(tmp_path, "fail") as runner:
        with pytest.raises(LoadFailed, match="unknown model architecture") as failed:
            await soon(runner.ready())
        assert (failed.value.unsupported, failed.value.out_of_memory) == (True, False)


async def test_a_log_that_tells_of_memory_classifies_the_failure(tmp_path: Path) -> None:
    async with process(tmp_path, "oom") as runner:
        with pytest.raises(LoadFailed, match="unable to load model") as failed:
            await soon(runner.ready())
        assert failed.value.out_of_memory


async def test_a_complaint_that_the_engine_overcomes_fails_nothing(tmp_path: Path) -> None:
    """It could not have its buffer and tries again with less: it becomes ready, and the complaint is forgotten."""
    async with process(tmp_path, "retry") as runner:
        await soon(runner.ready())
        with pytest.raises(RunnerFailed) as failed:
            await soon(runner.generate({"prompt": "fail:Compute_error."}).next())
        assert failed.value.message == "Compute error."


async def test_what_the_log_says_of_the_load_explains_no_later_death_even_if_it_comes_behind(tmp_path: Path) -> None:
    """The two pipes are read in any order."""
    async with process(tmp_path, options=("--deaf",)) as runner:
        loading = asyncio.create_task(runner.ready())
        await until(lambda: runner.state is State.LOADING)
        info = frames.Loaded(8, 0, 1, 1, False, "", "", True, [], 0, 0)
        runner.pipe_data_received(1, frames.encode(info))
        runner.pipe_data_received(2, b"error: no room, trying again\n")
        assert await soon(loading) == info
        assert runner.pid is not None
        answer = runner.generate({"prompt": ""})
        os.kill(runner.pid, signal.SIGKILL)
        with pytest.raises(RunnerDied) as died:
            await soon(answer.next())
        assert died.value.detail == "signal: killed"


async def test_an_end_without_a_reason_has_no_debris_in_its_text(tmp_path: Path) -> None:
    """The process ends well while loading: its last words are all there is to say."""
    async with process(tmp_path, "leave") as runner:
        with pytest.raises(LoadFailed) as failed:
            await soon(runner.ready())
        assert str(failed.value) == "llama runner process has terminated: error: nothing to do here"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "die",
            "llama runner process has terminated: signal: aborted: error loading model: tensor is odd",
        ),
        ("exit", "llama runner process has terminated: exit status 3: loading exit GGML_NO_BACKTRACE=1"),
    ],
)
async def test_a_process_that_ends_while_loading(tmp_path: Path, name: str, message: str) -> None:
    async with process(tmp_path, name) as runner:
        with pytest.raises(LoadFailed) as failed:
            await soon(runner.ready())
        assert str(failed.value) == message
        assert not runner.alive


async def test_silence_ends_a_load(tmp_path: Path) -> None:
    async with process(tmp_path, "hang", load_timeout=0.3) as runner:
        with pytest.raises(LoadStalled, match=r"^timed out waiting for llama-server to start"):
            await soon(runner.ready())


async def test_signs_of_life_keep_a_load_going(tmp_path: Path) -> None:
    """The clock stands still but for what the test turns it by: each sign starts the wait anew."""
    clock = FakeClock()
    runner = RunnerProcess({}, command=FAKE, load_timeout=1.0, clock=clock)
    runner.assign(load(tmp_path, "hang"))
    loading = asyncio.create_task(runner.ready())
    await until(lambda: bool(clock.timers))
    for _ in range(5):
        runner.pipe_data_received(2, b".")
        await clock.advance(0.9)
        assert not loading.done()
    await clock.advance(1.1)
    with pytest.raises(LoadStalled):
        await soon(loading)
    await soon(runner.stop(grace=0.0))


async def test_a_load_with_progress_ends_well(tmp_path: Path) -> None:
    async with process(tmp_path, "slow", load_timeout=10.0) as runner:
        assert (await soon(runner.ready())).num_ctx == 8


async def test_a_runner_that_is_killed_is_not_said_to_have_died_of_its_last_line(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        with pytest.raises(RunnerDied) as died:
            await soon(runner.generate({"prompt": "log:reserve_took_7_ms kill"}).next())
        assert died.value.detail == "signal: killed"


async def test_a_death_is_told_to_all_with_its_cause(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        deaths: list[RunnerDied] = []
        runner.when_dead(deaths.append)
        streaming = runner.generate({"prompt": "say:a"})
        await soon(streaming.next())
        waiting = asyncio.create_task(runner.tokenize(["never"], add_special=False, count_only=True))
        await asyncio.sleep(0)
        fatal = runner.generate({"prompt": "log:panic:_odd kill"})
        with pytest.raises(RunnerDied, match=r"^model runner has unexpectedly stopped.*: signal: killed: panic: odd$"):
            await soon(fatal.next())
        with pytest.raises(
            RunnerDied, match=r"^an error was encountered while running the model: signal: killed: panic: odd$"
        ):
            await soon(streaming.next())
        with pytest.raises(RunnerDied, match="unexpectedly stopped"):
            await soon(waiting)
        assert [one.detail for one in deaths] == ["signal: killed: panic: odd"]
        with pytest.raises(RunnerDied):
            await runner.detokenize([1])
        with pytest.raises(RunnerDied):
            await runner.generate({"prompt": "x"}).next()
        late: list[RunnerDied] = []
        runner.when_dead(late.append)
        assert late == deaths


async def test_a_warning_of_the_start_explains_no_later_death(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        with pytest.raises(RunnerDied) as died:
            await soon(runner.generate({"prompt": "exit:4"}).next())
        assert died.value.detail.startswith("exit status 4")


async def test_noise_on_the_pipe_ends_the_runner(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        with pytest.raises(RunnerDied):
            await soon(runner.generate({"prompt": "raw"}).next())


async def test_a_runner_that_closes_its_pipe_but_lives_on_is_ended(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        with pytest.raises(RunnerDied):
            await soon(runner.generate({"prompt": "close"}).next())


async def test_a_long_line_in_the_log_blocks_nobody(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        assert await text(runner.generate({"prompt": "flood:1000000 done"})) == "!"


async def test_stopping_ends_open_requests_with_its_reason(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        deaths: list[RunnerDied] = []
        runner.when_dead(deaths.append)
        stream = runner.generate({"prompt": "say:a"})
        await soon(stream.next())
        await soon(runner.stop(grace=5.0, reason=ShuttingDown()))
        with pytest.raises(ShuttingDown):
            await soon(stream.next())
        assert deaths == [], "an end that was asked for is no death"
        assert runner.state is State.GONE
        await soon(runner.stop(grace=5.0))


async def test_who_does_not_go_is_killed_and_an_impatient_second_stop_is_heard(tmp_path: Path) -> None:
    async with process(tmp_path, options=("--stubborn",)) as runner:
        await soon(runner.ready())
        patient = asyncio.create_task(runner.stop(grace=1000.0))
        await asyncio.sleep(0)
        assert not patient.done()
        await soon(runner.stop(grace=0.05))
        await soon(patient)


async def test_stopping_while_it_starts_or_loads_leaves_nothing(tmp_path: Path) -> None:
    for turns in range(6):
        async with process(tmp_path, "hang") as runner:
            loading = asyncio.create_task(runner.ready())
            for _ in range(turns):
                await asyncio.sleep(0)
            await soon(runner.stop(grace=0.0))
            with pytest.raises(LoadFailed):
                await soon(loading)


async def test_a_runner_stopped_before_its_start_never_starts(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.stop(grace=0.0))
        with pytest.raises(LoadFailed):
            await soon(runner.ready())
        assert runner.pid is None


@pytest.mark.skipif(not LINUX, reason="reads /proc")
async def test_a_killed_process_is_known_to_be_dying_at_once(tmp_path: Path) -> None:
    """A request that comes just after must not be sent to it: no turn of the event loop passes here."""
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        assert runner.pid is not None
        assert not is_exiting(runner.pid)
        os.kill(runner.pid, signal.SIGKILL)
        assert all(is_exiting(runner.pid) for _ in range(1_000))
        assert not runner.alive


async def test_silence_is_counted_while_it_has_nothing_to_do(tmp_path: Path) -> None:
    """One that is at work is not silent, however long it says nothing."""
    clock = FakeClock()
    runner = RunnerProcess({}, command=FAKE, clock=clock)
    runner.assign(load(tmp_path))
    await soon(runner.ready())
    await clock.advance(5.0)
    assert runner.silence == 5.0
    stream = runner.generate({"prompt": ""})
    assert runner.silence == 0.0
    stream.close()
    assert runner.silence == 5.0
    await soon(runner.detokenize([]))
    assert runner.silence == 0.0
    await soon(runner.stop(grace=1.0))


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
async def test_a_stopped_process_does_not_answer_a_ping_and_goes_all_the_same(tmp_path: Path) -> None:
    """It takes what is written and is there for everybody who looks: only asking tells."""
    clock = FakeClock()
    runner = RunnerProcess({}, command=FAKE, clock=clock)
    runner.assign(load(tmp_path))
    await soon(runner.ready())
    ping = Ping(runner, clock)
    assert await soon(ping.answered())
    await clock.advance(SILENCE)
    assert await soon(ping.answered())
    assert runner.pid is not None
    await clock.advance(SILENCE)
    os.kill(runner.pid, signal.SIGSTOP)
    asked = asyncio.create_task(ping.answered())
    await clock.advance(PATIENCE)
    assert not await soon(asked)
    await soon(runner.stop(grace=0.0))
    assert runner.state is State.GONE


async def test_the_environment_reaches_the_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    async with process(tmp_path, environment={"CUDA_VISIBLE_DEVICES": "GPU-1"}) as runner:
        await soon(runner.ready())
        seen = await soon(runner.embed({"inputs": ["INHERITED", "CUDA_VISIBLE_DEVICES", "GGML_NO_BACKTRACE"]}))
        assert seen.vectors == [b"yes", b"GPU-1", b"1"]


@pytest.mark.skipif(os.name == "nt", reason="sessions are of POSIX")
async def test_a_signal_to_the_daemon_s_group_does_not_reach_the_runner(tmp_path: Path) -> None:
    async with process(tmp_path) as runner:
        await soon(runner.ready())
        assert runner.pid is not None
        assert os.getpgid(runner.pid) == runner.pid != os.getpgid(0)


# -- the spawner --------------------------------------------------------------------------------------------------


async def test_a_spare_is_started_off_the_path_and_used_once(tmp_path: Path) -> None:
    clock = FakeClock()
    spawner = RunnerSpawner(clock=clock, command=FAKE)
    spawner.warm({"A": "1"})
    first = spawner(load(tmp_path), {"A": "1"})
    assert first.state is State.NEW, "nothing is in reserve yet"
    await clock.advance(1.0)
    spare = spawner.spare
    assert spare is not None
    await until(lambda: spare.alive)
    assert spawner(load(tmp_path), {"A": "2"}) is not spare
    used = spawner(load(tmp_path), {"A": "1"})
    assert used is spare
    assert spawner.spare is None
    assert (await soon(used.ready())).num_ctx == 8
    for runner in (first, used):
        await soon(runner.stop(grace=1.0))
    await soon(spawner.close())


async def test_a_spare_for_other_devices_is_replaced_and_none_outlives_the_spawner(tmp_path: Path) -> None:
    clock = FakeClock()
    spawner = RunnerSpawner(clock=clock, command=FAKE)
    spares: list[RunnerProcess] = []
    for environment in ({"A": "1"}, {"A": "1"}, {"A": "2"}):
        spawner.warm(environment)
        await clock.advance(1.0)
        assert spawner.spare is not None
        spares.append(spawner.spare)
        await until(lambda: spares[-1].alive)
    assert spares[0] is spares[1]
    assert spares[1] is not spares[2]
    await soon(spawner.close())
    assert all(spare.state is State.GONE for spare in spares)
    assert clock.timers == []


async def test_a_spawner_without_spares_starts_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    spawner = RunnerSpawner(clock=clock, command=FAKE, spare=False)
    spawner.warm({})
    assert clock.timers == []
    await soon(spawner.close())


async def test_a_spare_that_cannot_be_started_is_no_error(tmp_path: Path) -> None:
    clock = FakeClock()
    spawner = RunnerSpawner(clock=clock, command=(str(tmp_path / "nothing"),))
    spawner.warm({})
    await clock.advance(1.0)
    await soon(spawner.close())


@asynccontextmanager
async def in_reserve(tmp_path: Path, clock: FakeClock, *options: str) -> AsyncGenerator[RunnerProcess]:
    """A process that was started without a model and is given one now; it may be slow to take it, or never do."""
    spawner = RunnerSpawner(clock=clock, command=(*FAKE, *options))
    spawner.warm({})
    await clock.advance(1.0)
    spare = spawner.spare
    assert spare is not None
    await until(lambda: spare.alive)
    assert spawner(load(tmp_path, "hang"), {}) is spare
    yield spare
    await soon(spare.stop(grace=0.0))
    await soon(spawner.close())
    assert clock.timers == []


async def test_a_spare_that_hangs_is_given_up_before_the_load_timeout(tmp_path: Path) -> None:
    clock = FakeClock()
    async with in_reserve(tmp_path, clock, "--deaf") as spare:
        loading = asyncio.create_task(spare.ready())
        await until(lambda: spare.state is State.LOADING)
        await clock.advance(CONFIRMATION - 0.1)
        assert not loading.done()
        await clock.advance(0.1)
        with pytest.raises(SpareHung):
            await soon(loading)


async def test_a_spare_that_takes_its_load_late_may_load_as_long_as_it_likes(tmp_path: Path) -> None:
    """A line in its log is no answer: only a frame shows that it is with its load."""
    clock = FakeClock()
    async with in_reserve(tmp_path, clock, "--deaf") as spare:
        loading = asyncio.create_task(spare.ready())
        await until(lambda: spare.state is State.LOADING)
        await clock.advance(CONFIRMATION - 0.1)
        spare.pipe_data_received(2, b"still importing\n")
        spare.pipe_data_received(1, frames.encode(frames.Progress(0.0)))
        await clock.advance(1000.0)
        assert not loading.done()
        await soon(spare.stop(grace=0.0))
        with pytest.raises(LoadFailed):
            await soon(loading)


async def test_a_process_that_was_started_for_its_load_has_all_the_load_timeout(tmp_path: Path) -> None:
    """There is nothing to be gained by starting the same thing again."""
    clock = FakeClock()
    runner = RunnerProcess({}, command=(*FAKE, "--deaf"), clock=clock)
    runner.assign(load(tmp_path))
    loading = asyncio.create_task(runner.ready())
    await until(lambda: runner.state is State.LOADING)
    await clock.advance(1000.0)
    assert not loading.done()
    await soon(runner.stop(grace=0.0))
    with pytest.raises(LoadFailed):
        await soon(loading)


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
async def test_a_stopped_spare_is_replaced_and_the_request_is_served(tmp_path: Path) -> None:
    """Through the whole scheduler: the client notices nothing but some seconds."""
    clock = FakeClock()
    spawner = RunnerSpawner(clock=clock, command=FAKE, load_timeout=300.0)
    scheduler = Scheduler(Limits(), devices=FakeDevices(), spawn=spawner, clock=clock)
    await scheduler.start()
    await clock.advance(1.0)
    spare = spawner.spare
    assert spare is not None
    await until(lambda: spare.alive)
    assert spare.pid is not None
    os.kill(spare.pid, signal.SIGSTOP)
    path = load(tmp_path).weights[0]
    asked = asyncio.create_task(scheduler.lease(wish("a", weights=(path,))))
    await until(lambda: spare.state is State.LOADING)
    await clock.advance(CONFIRMATION)
    lease = await soon(asked)
    assert spare.state is State.GONE
    assert await soon(lease.detokenize([104, 105])) == "hi"
    lease.release()
    await soon(scheduler.stop())
