"""What the scheduler asks of the world outside its process: a runner, and somebody who starts one.

`process.RunnerProcess` and `spawner.RunnerSpawner` are the real ones; tests bring their own.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol, Required, TypedDict

from scheduler import frames
from scheduler.errors import RunnerDied


class Chunk(NamedTuple):
    """What has arrived for one request since the last look; `done` ends it."""

    deltas: list[frames.Delta]
    done: frames.Done | None


class GenerateFields(TypedDict, total=False):
    """The fields of `frames.Generate` but its id."""

    prompt: Required[str]
    sampling: frames.Sampling
    num_predict: int
    num_keep: int
    stop: list[str]
    shift: bool
    truncate: bool
    logprobs: int | None
    prompt_logprobs: bool
    constraint: frames.Constraint | None
    images: list[bytes]
    preserved: list[str]
    want_context: bool


class EmbedFields(TypedDict, total=False):
    """The fields of `frames.Embed` but its id."""

    inputs: Required[list[str]]
    truncate: bool
    dimensions: int
    normalize: bool
    encoding: Literal["float32", "json32", "json64"]


class Stream(Protocol):
    """One generation as it arrives."""

    async def next(self) -> Chunk:
        """Wait for more. Not called again after `done`. Raises `RunnerFailed`, `RunnerDied`."""
        ...

    def close(self) -> None:
        """Drop the generation if it is not over. Idempotent, and never waits."""
        ...


class Runner(Protocol):
    """One process with one model."""

    @property
    def pid(self) -> int | None: ...

    @property
    def alive(self) -> bool:
        """Whether a request sent now may be answered; cheap enough to ask before each."""
        ...

    @property
    def silence(self) -> float:
        """Seconds since anything has come from it; 0 while it is at work."""
        ...

    async def ready(self) -> frames.Loaded:
        """Start, load, and wait until requests are taken. Raises `WeightsMissing` or `LoadFailed`."""
        ...

    def when_dead(self, callback: Callable[[RunnerDied], None]) -> None:
        """Have `callback` called, once, when the process has ended without being asked to."""
        ...

    def generate(self, fields: GenerateFields) -> Stream: ...

    async def embed(self, fields: EmbedFields) -> frames.Embedded: ...

    async def rank(self, query: str, documents: list[str], *, truncate: bool) -> frames.Ranked: ...

    async def tokenize(self, texts: list[str], *, add_special: bool, count_only: bool) -> frames.Tokens: ...

    async def detokenize(self, tokens: list[int]) -> str: ...

    async def stop(self, *, grace: float, reason: Exception | None = None) -> None:
        """End the process, by force after `grace` seconds, and return when it is gone.

        Requests still open end with `reason`. May be called again, also while an earlier call waits: a smaller grace
        then counts.
        """
        ...


class Spawner(Protocol):
    """Starts runners."""

    def __call__(self, load: frames.Load, environment: Mapping[str, str]) -> Runner:
        """A runner that will load `load`, with `environment` on top of ours. Nothing is started before `ready()`."""
        ...

    def warm(self, environment: Mapping[str, str]) -> None:
        """Have a process ready for the next load with this environment, if it can be had off the path."""
        ...

    async def close(self) -> None:
        """End processes kept in reserve."""
        ...
