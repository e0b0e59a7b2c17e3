"""Starts runners, and keeps one in reserve: importing the engine's library takes longer than loading a small model.

The spare is started with the devices of the load before it, and where it sees no GPU gets the library ready. It holds
some 25 MB of the host's memory and none of a GPU's. A load is planned on the memory that is free while the spare
has its own, so it is counted without further ado.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from scheduler import frames
from scheduler.clock import Clock, LoopClock, Timer
from scheduler.process import COMMAND, RunnerProcess

_log = structlog.get_logger(__name__)

_DELAY: Final = 1.0
"""Seconds after a load before the next spare is started: the first tokens need the processor more."""


class RunnerSpawner:
    """The `ports.Spawner` of the daemon. `spare`: whether to keep a process without a model ready."""

    def __init__(
        self,
        *,
        load_timeout: float = 0.0,
        clock: Clock | None = None,
        command: tuple[str, ...] = COMMAND,
        spare: bool = True,
    ) -> None:
        self._load_timeout = load_timeout
        self._clock: Clock = clock or LoopClock()
        self._command = command
        self._wanted = spare
        self.spare: RunnerProcess | None = None
        """The process in reserve."""
        self._timer: Timer | None = None
        self._launch: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def __call__(self, load: frames.Load, environment: Mapping[str, str]) -> RunnerProcess:
        runner = self._take(environment) or self._new(environment)
        runner.assign(load)
        return runner

    def warm(self, environment: Mapping[str, str]) -> None:
        self._cancel_timer()
        if self._wanted:
            environment = dict(environment)
            self._timer = self._clock.call_later(_DELAY, lambda: self._replace_spare(environment))

    async def close(self) -> None:
        self._wanted = False
        self._cancel_timer()
        if self.spare is not None:
            self._discard(self.spare)
        if self._launch is not None:
            await asyncio.wait({self._launch})
        if self._ending:
            await asyncio.wait(self._ending)

    def _new(self, environment: Mapping[str, str]) -> RunnerProcess:
        return RunnerProcess(environment, command=self._command, load_timeout=self._load_timeout, clock=self._clock)

    def _take(self, environment: Mapping[str, str]) -> RunnerProcess | None:
        """The spare, if it will do. One that sees other devices stays for a load that wants those."""
        spare = self.spare
        if spare is None or not spare.alive or spare.environment != dict(environment):
            return None
        self.spare = None
        return spare

    def _replace_spare(self, environment: dict[str, str]) -> None:
        self._timer = None
        if self.spare is not None:
            if self.spare.alive and self.spare.environment == environment:
                return
            self._discard(self.spare)
        self.spare = self._new(environment)
        self._launch = asyncio.get_running_loop().create_task(self._start(self.spare))

    async def _start(self, spare: RunnerProcess) -> None:
        try:
            await spare.launch()
        except OSError as error:
            _log.warning("no runner could be started in reserve", error=str(error))

    def _discard(self, spare: RunnerProcess) -> None:
        self.spare = None
        task = asyncio.get_running_loop().create_task(spare.stop(grace=0.0))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
