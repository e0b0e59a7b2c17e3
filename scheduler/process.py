"""One runner: a process that holds one model, and the pipes to it.

    NEW ──launch──▶ WAITING ──Load──▶ LOADING ──Loaded──▶ READY ──┐
     │   (a spare stays here) │            │ LoadFailed, stall     │ stop(), or end of file
     └────────────────────────┴────────────┴───────────▶ CLOSING ◀─┘
                                                            │ stdin closed, then killed
                                                            ▼
                                                          GONE   exited and reaped

The event loop hands each piece of output to `pipe_data_received`, which cuts it into frames and fills the channels of
all requests they speak of: no task stands between the pipe and the reader of a request. End of file on stdout means
that the process is lost; what it said last, and how it ended, goes to everyone who still waits for it.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeVar, cast

import structlog

from scheduler import frames
from scheduler.channel import Channel
from scheduler.clock import Alarm, Clock, LoopClock
from scheduler.dying import is_exiting
from scheduler.environment import glibc_version, runner_environment
from scheduler.errors import LoadFailed, LoadStalled, RunnerDied, SpareHung, WeightsMissing
from scheduler.exchange import Exchange
from scheduler.files import missing_file
from scheduler.ports import EmbedFields, GenerateFields
from scheduler.silence import Silence
from scheduler.stderr import LastWords

_log = structlog.get_logger(__name__)

COMMAND: Final = (sys.executable, "-P", "-m", "scheduler.runner")
"""-P: a directory called `scheduler` where the daemon was started must not be taken for ours."""

_LAST_WORDS: Final = 1.0
"""Seconds that exit status and log may lag behind the end of stdout."""

_KILL_PATIENCE: Final = 10.0
"""Seconds after which a process that outlives SIGKILL, in a call to a driver for instance, is given up."""

CONFIRMATION: Final = 5.0
"""Seconds that a process which has waited in reserve has to say that it takes its load: it may hang."""

_Answer = TypeVar("_Answer", frames.Embedded, frames.Ranked, frames.Tokens, frames.Text)


class State(Enum):
    NEW = "new"
    WAITING = "waiting"
    LOADING = "loading"
    READY = "ready"
    CLOSING = "closing"
    GONE = "gone"


class RunnerProcess(asyncio.SubprocessProtocol):
    """See `ports.Runner` for what the scheduler relies on."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        command: tuple[str, ...] = COMMAND,
        load_timeout: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        self.environment = dict(environment)
        self._command = command
        self._load_timeout = load_timeout
        self._clock: Clock = clock or LoopClock()
        self._state = State.NEW
        self._load: frames.Load | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._reports = frames.report_reader()
        self._log = LastWords()
        self._exchange = Exchange()
        self._loop = asyncio.get_running_loop()
        self._launched: asyncio.Future[None] = self._loop.create_future()
        self._loaded: asyncio.Future[frames.Loaded] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._on_death: Callable[[RunnerDied], None] | None = None
        self._death: RunnerDied | None = None
        self._open_pipes = {1, 2}
        self._exited = False
        self._silence = Silence(self._clock)
        self._confirmation = Alarm(self._clock)
        self._last_call = Alarm(self._clock)

    # -- life -----------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        return self._transport.get_pid() if self._transport is not None else None

    @property
    def state(self) -> State:
        return self._state

    @property
    def alive(self) -> bool:
        usable = self._state in (State.WAITING, State.LOADING, State.READY) and not self._exited
        return usable and self.pid is not None and not is_exiting(self.pid)

    @property
    def silence(self) -> float:
        return 0.0 if self._exchange.busy else self._silence.seconds

    def assign(self, load: frames.Load) -> None:
        """Say what `ready()` is to load."""
        self._load = load

    async def launch(self) -> None:
        """Start the process, without a model. Raises `OSError`."""
        assert self._state is State.NEW, "a process is launched once"
        self._state = State.WAITING
        environment = runner_environment(os.environ, self.environment, glibc=glibc_version())
        try:
            # A session of its own: Ctrl-C in the daemon's terminal is for the daemon to handle.
            await self._loop.subprocess_exec(
                lambda: self, *self._command, env=environment, start_new_session=sys.platform != "win32"
            )
        except BaseException:
            self._state = State.GONE
            self._gone.set_result(None)
            raise
        finally:
            self._launched.set_result(None)

    async def ready(self) -> frames.Loaded:
        assert self._load is not None, "assign() comes before ready()"
        if (path := missing_file(self._load)) is not None:
            raise WeightsMissing(path)
        in_reserve = self._state is not State.NEW
        if not in_reserve:
            await self.launch()
        elif not self._launched.done():
            await asyncio.shield(self._launched)
        if self._state is not State.WAITING:
            raise LoadFailed("the load was canceled")
        self._state = State.LOADING
        self._send(self._load)
        self._silence.watch(self._load_timeout, self._stalled)
        if in_reserve:
            self._confirmation.set(CONFIRMATION, self._unconfirmed)
        try:
            return await asyncio.shield(self._loaded)
        finally:
            self._silence.unwatch()
            self._confirmation.off()

    def _stalled(self) -> None:
        self._fail_load(LoadStalled(self._log.last))
        self._kill()

    def _unconfirmed(self) -> None:
        self._fail_load(SpareHung())
        self._kill()

    def when_dead(self, callback: Callable[[RunnerDied], None]) -> None:
        self._on_death = callback
        if self._death is not None:
            callback(self._death)

    async def stop(self, *, grace: float, reason: Exception | None = None) -> None:
        was, self._state = self._state, State.GONE if self._state is State.GONE else State.CLOSING
        if reason is not None:
            self._exchange.fail_all(reason)
        if was is State.NEW:
            self._state = State.GONE
            self._launched.set_result(None)
            return
        if not self._launched.done():
            await asyncio.shield(self._launched)
        if self._transport is None or self._gone.done():
            return
        if self._stdin is not None:
            self._stdin.close()
        if grace > 0:
            await asyncio.wait({self._gone}, timeout=grace)
        if not self._gone.done():
            self._kill()
            await asyncio.wait({self._gone}, timeout=_KILL_PATIENCE)
        if not self._gone.done():
            _log.error("model runner cannot be killed", pid=self.pid)

    def _kill(self) -> None:
        try:
            if self._transport is not None:
                self._transport.kill()
        except ProcessLookupError:
            pass  # it ended by itself just now

    # -- asking ---------------------------------------------------------------------------------------------------

    def generate(self, fields: GenerateFields) -> Channel:
        number = self._exchange.next_id()
        channel = Channel(lambda: self._cancel(number))
        if self._death is not None or self._state is not State.READY:
            channel.fail(self._death or RunnerDied())
            return channel
        self._exchange.open(number, channel)
        self._send(frames.Generate(id=number, **fields))
        return channel

    async def embed(self, fields: EmbedFields) -> frames.Embedded:
        number = self._exchange.next_id()
        return await self._call(number, frames.Embed(id=number, **fields), frames.Embedded)

    async def rank(self, query: str, documents: list[str], *, truncate: bool) -> frames.Ranked:
        number = self._exchange.next_id()
        return await self._call(number, frames.Rank(number, query, documents, truncate), frames.Ranked)

    async def tokenize(self, texts: list[str], *, add_special: bool, count_only: bool) -> frames.Tokens:
        number = self._exchange.next_id()
        question = frames.Tokenize(number, texts, add_special, count_only)
        return await self._call(number, question, frames.Tokens)

    async def detokenize(self, tokens: list[int]) -> str:
        number = self._exchange.next_id()
        return (await self._call(number, frames.Detokenize(number, tokens), frames.Text)).text

    async def _call(self, number: int, question: frames.Command, kind: type[_Answer]) -> _Answer:
        if self._death is not None or self._state is not State.READY:
            raise self._death or RunnerDied()
        answer = self._exchange.expect(number)
        self._send(question)
        try:
            report = await answer
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            self._exchange.forget(number)
        assert isinstance(report, kind), f"{type(report).__name__} answers a question for {kind.__name__}"
        return report

    def _cancel(self, number: int) -> None:
        self._exchange.forget(number)
        if self._state is State.READY:
            self._send(frames.Cancel(number))

    def _send(self, frame: frames.Command) -> None:
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(frames.encode(frame))

    # -- what the event loop reports ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._silence.broken()
        if fd == 2:
            for line in self._log.feed(data):
                _log.debug("runner", pid=self.pid, line=line)
            return
        try:
            for report in self._reports.feed(data):
                self._dispatch(report)
        except ValueError as error:
            _log.error("model runner sent something that is no frame", pid=self.pid, error=str(error))
            self._kill()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        self._look_for_end(lost=fd == 1)

    def process_exited(self) -> None:
        self._exited = True
        self._look_for_end(lost=True)

    def _look_for_end(self, *, lost: bool) -> None:
        """The end is complete when the process has exited and both pipes are read out; nobody waits for it long."""
        if self._exited and not self._open_pipes:
            self._end()
        elif lost and not self._last_call.is_set:
            self._last_call.set(_LAST_WORDS, self._end)

    # -- reports --------------------------------------------------------------------------------------------------

    def _dispatch(self, report: frames.Report) -> None:
        if isinstance(report, frames.Step):
            self._exchange.step(report)
        elif isinstance(report, frames.Failed):
            self._exchange.fail(report.id, self._log.failed_request(report))
        elif isinstance(report, frames.Embedded | frames.Ranked | frames.Tokens | frames.Text):
            self._exchange.answer(report)
        else:
            self._load_reported(report)

    def _load_reported(self, report: frames.Progress | frames.Loaded | frames.LoadFailed) -> None:
        if self._loaded.done() or self._state is not State.LOADING:
            return
        self._confirmation.off()
        if isinstance(report, frames.Loaded):
            self._state = State.READY
            self._log.clear()
            # What it logged before may lie in the other pipe still: that is read before the loop comes round again.
            self._loop.call_soon(self._log.clear)
            self._loaded.set_result(report)
        elif isinstance(report, frames.LoadFailed):
            self._fail_load(self._log.refused_load(report))

    def _fail_load(self, error: Exception) -> None:
        if not self._loaded.done():
            self._loaded.set_exception(error)
            self._loaded.exception()  # it may be that nobody waits; that is no reason to complain

    # -- death ----------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """The process is lost: tell everyone why, and make sure that it is gone."""
        self._last_call.off()
        if not self._exited:
            self._kill()
            self._last_call.set(_LAST_WORDS, self._end)
        asked_for = self._state in (State.CLOSING, State.GONE)
        if self._death is None:
            code = self._transport.get_returncode() if self._transport is not None else None
            self._death = self._log.death(code)
            self._fail_load(self._log.failed_load(code))
            self._exchange.fail_all(self._death)
            if not asked_for and self._on_death is not None:
                self._on_death(self._death)
        if self._exited:
            self._state = State.GONE
            self._close_transport()

    def _close_transport(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if not self._gone.done():
            self._gone.set_result(None)
