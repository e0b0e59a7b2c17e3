"""A world for the scheduler to run in: time turned by hand, devices made up, runners that are objects."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scheduler import frames
from scheduler.clock import Timer
from scheduler.devices import Device, Host, Snapshot
from scheduler.errors import RunnerDied
from scheduler.lease import Lease
from scheduler.loop import Scheduler
from scheduler.ports import Chunk, EmbedFields, GenerateFields
from scheduler.requests import LeaseRequest, Limits, LoadOptions, ModelFacts, ModelRef

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

GB = 10**9
WALL = 1_700_000_000.0


async def settle() -> None:
    """Let everything that can happen now happen."""
    for _ in range(30):
        await asyncio.sleep(0)


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what another process or thread must do first."""
    for _ in range(10_000):
        if happened():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


@dataclass(eq=False)
class FakeTimer:
    at: float
    callback: Callable[[], None]
    timers: list["FakeTimer"]

    def cancel(self) -> None:
        if self in self.timers:
            self.timers.remove(self)


class FakeClock:
    """Stands still until `advance`d."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.timers: list[FakeTimer] = []

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return WALL + self.seconds

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = FakeTimer(self.seconds + delay, callback, self.timers)
        self.timers.append(timer)
        return timer

    async def advance(self, seconds: float) -> None:
        """Let time pass, with everything that falls due in it, in order."""
        end = self.seconds + seconds
        await settle()
        while due := [timer for timer in self.timers if timer.at <= end]:
            first = min(due, key=lambda timer: timer.at)
            first.cancel()
            self.seconds = max(self.seconds, first.at)
            first.callback()
            await settle()
        self.seconds = end


class FakeDevices:
    """Devices as written down; `use` counts what the runners of a test occupy."""

    def __init__(self, *gpus: Device, host: Host | None = None) -> None:
        self.host = host or Host(total=64 * GB, free=64 * GB, threads=4)
        self.gpus = gpus
        self.use: dict[object, Mapping[str, int]] = {}
        self.broken = False
        """Whether they fail to tell."""
        self.refreshed = 0
        self.suspicions: list[str] = []
        self.trouble = ""

    def suspect(self, reason: str) -> None:
        self.suspicions.append(reason)

    async def refresh(self) -> Snapshot:
        self.refreshed += 1
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("the driver does not answer")
        gpus = tuple(replace(gpu, free=gpu.free - self._used(gpu.id)) for gpu in self.gpus)
        return Snapshot(self.host, gpus, trouble=self.trouble)

    def _used(self, gpu: str) -> int:
        return sum(use.get(gpu, 0) for use in self.use.values())


class FakeStream:
    """A generation that the test answers by hand."""

    def __init__(self, runner: "FakeRunner", fields: GenerateFields) -> None:
        self.runner = runner
        self.fields = fields
        self.closed = False
        self._chunks: asyncio.Queue[Chunk | Exception] = asyncio.Queue()

    def say(self, text: str) -> None:
        self._chunks.put_nowait(Chunk([frames.Delta(1, text)], None))

    def finish(self) -> None:
        self._chunks.put_nowait(Chunk([], frames.Done(1, "stop", 1, 0, 1, 1, 1)))

    def fail(self, error: Exception) -> None:
        self._chunks.put_nowait(error)

    async def next(self) -> Chunk:
        chunk = await self._chunks.get()
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed = True
        if self in self.runner.open:
            self.runner.open.remove(self)


class FakeRunner:
    """Loads when told to (at once, unless held) and answers what the test says."""

    def __init__(self, world: "FakeSpawner", load: frames.Load, environment: Mapping[str, str], pid: int) -> None:
        self.world = world
        self.load = load
        self.environment = environment
        self.pid: int | None = pid
        self.alive = True
        self.died = False
        self.stopped = False
        self.graces: list[float] = []
        self.reason: Exception | None = None
        self.open: list[FakeStream] = []
        self.most_open = 0
        self.on_death: Callable[[RunnerDied], None] = lambda error: None
        self.embed_error: Exception | None = None
        self.silence = 0.0
        self.mute = False
        """Whether it hangs: it takes questions and never answers."""
        self.asked = 0
        self.outcome: asyncio.Future[frames.Loaded] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def name(self) -> str:
        return self.load.weights[0] if self.load.weights else ""

    def loaded(self) -> frames.Loaded:
        trained = self.world.trained.get(self.name, 0)
        return frames.Loaded(
            num_ctx=min(self.load.num_ctx, trained or self.load.num_ctx),
            num_ctx_train=trained,
            vocab_size=10,
            embedding_width=4,
            add_bos=True,
            bos="<s>",
            eos="</s>",
            can_shift=True,
            buffers=[frames.Buffer("CPU", "model", 100), *self.world.buffers(self)],
            layers_offloaded=0,
            layers_total=0,
        )

    def finish_load(self, error: Exception | None = None) -> None:
        if not self.outcome.done():
            if error is None:
                self.outcome.set_result(self.loaded())
            else:
                self.outcome.set_exception(error)

    def die(self, detail: str = "signal: killed") -> None:
        """The process ends by itself."""
        self._end()
        self.died = True
        error = RunnerDied(detail)
        for stream in list(self.open):
            stream.fail(error)
        self.on_death(error)

    def _end(self) -> None:
        self.alive = False
        if not self.gone.done():
            self.gone.set_result(None)

    async def ready(self) -> frames.Loaded:
        loaded = await self.outcome
        await self.world.occupied(self)
        return loaded

    def when_dead(self, callback: Callable[[RunnerDied], None]) -> None:
        self.on_death = callback

    def generate(self, fields: GenerateFields) -> FakeStream:
        stream = FakeStream(self, fields)
        self.open.append(stream)
        self.most_open = max(self.most_open, len(self.open))
        self.world.streams.append(stream)
        return stream

    async def embed(self, fields: EmbedFields) -> frames.Embedded:
        await asyncio.sleep(0)
        if self.embed_error is not None:
            raise self.embed_error
        return frames.Embedded(1, [b"[]" for _ in fields["inputs"]], 3)

    async def tokenize(self, texts: list[str], *, add_special: bool, count_only: bool) -> frames.Tokens:
        await asyncio.sleep(0)
        tokens = [[1] * add_special + [ord(letter) for letter in text] for text in texts]
        return frames.Tokens(1, [len(one) for one in tokens], [] if count_only else tokens)

    async def rank(self, query: str, documents: list[str], *, truncate: bool) -> frames.Ranked:
        await asyncio.sleep(0)
        if self.embed_error is not None:
            raise self.embed_error
        return frames.Ranked(1, [float(len(document)) for document in documents], 1)

    async def detokenize(self, tokens: list[int]) -> str:
        self.asked += 1
        await asyncio.sleep(0)
        if self.mute:
            await self.gone
        if not self.alive:
            raise RunnerDied
        return "".join(map(chr, tokens))

    async def stop(self, *, grace: float, reason: Exception | None = None) -> None:
        self._end()
        self.graces.append(grace)
        self.reason = self.reason or reason
        for stream in list(self.open):
            stream.fail(reason or RunnerDied())
        await asyncio.sleep(0)
        if self.world.hold_stops and grace > 0:
            await self.world.stops.wait()
        self.stopped = True
        if not self.world.lingers:
            self.world.devices.use.pop(self, None)


@dataclass(eq=False)
class FakeSpawner:
    devices: FakeDevices
    hold: bool = False
    """Whether loads wait for `finish_load`."""
    hold_stops: bool = False
    stops: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[Exception | None] = field(default_factory=list[Exception | None])
    """Outcomes of the next loads."""
    trained: dict[str, int] = field(default_factory=dict[str, int])
    use: dict[str, int] = field(default_factory=dict[str, int])
    """Bytes that a model takes on the first GPU it is given."""
    runners: list[FakeRunner] = field(default_factory=list[FakeRunner])
    streams: list[FakeStream] = field(default_factory=list[FakeStream])
    lingers: bool = False
    """Whether the driver goes on to report the memory of stopped runners as used."""
    closed: bool = False

    def __call__(self, load: frames.Load, environment: Mapping[str, str]) -> FakeRunner:
        runner = FakeRunner(self, load, environment, pid=1000 + len(self.runners))
        self.runners.append(runner)
        failure = self.failures.pop(0) if self.failures else None
        if not self.hold or failure is not None:
            runner.finish_load(failure)
        return runner

    async def occupied(self, runner: FakeRunner) -> None:
        await asyncio.sleep(0)
        if self.devices.gpus and runner.load.num_gpu != 0:
            self.devices.use[runner] = {self.devices.gpus[0].id: self.use.get(runner.name, 1 << 20)}

    def buffers(self, runner: FakeRunner) -> list[frames.Buffer]:
        on_gpu = self.devices.gpus and runner.load.num_gpu != 0
        return [frames.Buffer("CUDA0", "model", self.use.get(runner.name, 1 << 20))] if on_gpu else []

    def warm(self, environment: Mapping[str, str]) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    @property
    def names(self) -> list[str]:
        return [runner.name for runner in self.runners]

    @property
    def running(self) -> list[str]:
        return [runner.name for runner in self.runners if not runner.stopped]


@dataclass(eq=False)
class World:
    scheduler: Scheduler
    clock: FakeClock
    devices: FakeDevices
    spawn: FakeSpawner

    def ask(self, key: str, **changes: object) -> asyncio.Task[Lease]:
        """Begin to wait for a lease."""
        return asyncio.create_task(self.scheduler.lease(wish(key, **changes)))

    async def lease(self, key: str, **changes: object) -> Lease:
        return await asyncio.wait_for(self.scheduler.lease(wish(key, **changes)), 5)

    @property
    def loaded(self) -> list[str]:
        return sorted(row.model.key for row in self.scheduler.loaded())


@asynccontextmanager
async def world(
    *gpus: Device, host: Host | None = None, limits: Limits | None = None, hold: bool = False
) -> AsyncGenerator[World]:
    clock = FakeClock()
    devices = FakeDevices(*gpus, host=host)
    spawn = FakeSpawner(devices, hold=hold)
    scheduler = Scheduler(limits or Limits(), devices=devices, spawn=spawn, clock=clock)
    await scheduler.start()
    try:
        yield World(scheduler, clock, devices, spawn)
    finally:
        await asyncio.wait_for(scheduler.stop(), 5)
        assert all(runner.stopped for runner in spawn.runners), "a runner outlived the scheduler"
        assert spawn.closed


def wish(key: str, **changes: object) -> LeaseRequest:
    """A request for model `key`; `changes` name fields of the request, the model, its facts, or the options."""
    facts = ModelFacts(context_length=131072, weights_bytes=100)
    facts = replace(facts, **_taken(facts, changes))
    model = ModelRef(key=key, name=f"{key}:latest", digest="0" * 64, weights=(key,), facts=facts)
    model = replace(model, **_taken(model, changes))
    options = replace(LoadOptions(), **_taken(LoadOptions(), changes))
    request = LeaseRequest(model, options)
    request = replace(request, **_taken(request, changes))
    assert not changes, f"nobody has {changes}"
    return request


def _taken(value: "DataclassInstance", changes: dict[str, object]) -> dict[str, object]:
    names = type(value).__dataclass_fields__
    return {name: changes.pop(name) for name in list(changes) if name in names}


def cuda(free: int, total: int | None = None, *, id: str = "GPU-0", **changes: object) -> Device:
    device = Device(id, "CUDA", "CUDA0", total or free, free)
    return replace(device, **changes)
