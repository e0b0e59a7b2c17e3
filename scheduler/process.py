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
import re
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeVar, cast

import structlog

from scheduler import errors, frames
from scheduler.channel import Channel
from scheduler.clock import Clock, LoopClock, Timer
from scheduler.environment import glibc_version, runner_environment
from scheduler.errors import LoadStalled, RunnerDied, RunnerFailed, WeightsMissing
from scheduler.faults import FaultLog, exit_words, tells_of_memory
from scheduler.ports import EmbedFields, GenerateFields
from scheduler.stderr import LineBuffer

_log = structlog.get_logger(__name__)

COMMAND: Final = (sys.executable, "-P", "-m", "scheduler.runner")
"""-P: a directory called `scheduler` where the daemon was started must not be taken for ours."""

_LAST_WORDS: Final = 1.0
"""Seconds that exit status and log may lag behind the end of stdout."""

_KILL_PATIENCE: Final = 10.0
"""Seconds after which a process that outlives SIGKILL, in a call to a driver for instance, is given up."""

_NO_REASON: Final = (
    "model failed to load, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)

_PF_EXITING: Final = 0x4
_SIGKILL_BIT: Final = 1 << 8
_SHARED_PENDING: Final = re.compile(rb"^ShdPnd:\s*([0-9a-f]+)", re.MULTILINE)

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
        self._log_lines = LineBuffer()
        self._faults = FaultLog()
        self._last_id = 0
        self._channels: dict[int, Channel] = {}
        self._calls: dict[int, asyncio.Future[frames.Report]] = {}
        self._loop = asyncio.get_running_loop()
        self._launched: asyncio.Future[None] = self._loop.create_future()
        self._loaded: asyncio.Future[frames.Loaded] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._on_death: Callable[[RunnerDied], None] | None = None
        self._death: RunnerDied | None = None
        self._open_pipes = {1, 2}
        self._exited = False
        self._last_sign = 0.0
        self._stall_timer: Timer | None = None
        self._end_timer: Timer | None = None

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
        return 0.0 if self._channels or self._calls else self._clock.now() - self._last_sign

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
        if self._state is State.NEW:
            await self.launch()
        elif not self._launched.done():
            await asyncio.shield(self._launched)
        if self._state is not State.WAITING:
            raise errors.LoadFailed("the load was canceled")
        self._state = State.LOADING
        self._send(self._load)
        self._last_sign = self._clock.now()
        self._watch()
        try:
            return await asyncio.shield(self._loaded)
        finally:
            self._stall_timer = _cancelled(self._stall_timer)

    def when_dead(self, callback: Callable[[RunnerDied], None]) -> None:
        self._on_death = callback
        if self._death is not None:
            callback(self._death)

    async def stop(self, *, grace: float, reason: Exception | None = None) -> None:
        was, self._state = self._state, State.GONE if self._state is State.GONE else State.CLOSING
        if reason is not None:
            self._fail_all(reason)
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
        number = self._next_id()
        channel = Channel(lambda: self._cancel(number))
        if self._death is not None or self._state is not State.READY:
            channel.fail(self._death or RunnerDied())
            return channel
        self._channels[number] = channel
        self._send(frames.Generate(id=number, **fields))
        return channel

    async def embed(self, fields: EmbedFields) -> frames.Embedded:
        number = self._next_id()
        return await self._call(number, frames.Embed(id=number, **fields), frames.Embedded)

    async def rank(self, query: str, documents: list[str], *, truncate: bool) -> frames.Ranked:
        number = self._next_id()
        return await self._call(number, frames.Rank(number, query, documents, truncate), frames.Ranked)

    async def tokenize(self, texts: list[str], *, add_special: bool, count_only: bool) -> frames.Tokens:
        number = self._next_id()
        question = frames.Tokenize(number, texts, add_special, count_only)
        return await self._call(number, question, frames.Tokens)

    async def detokenize(self, tokens: list[int]) -> str:
        number = self._next_id()
        return (await self._call(number, frames.Detokenize(number, tokens), frames.Text)).text

    async def _call(self, number: int, question: frames.Command, kind: type[_Answer]) -> _Answer:
        if self._death is not None or self._state is not State.READY:
            raise self._death or RunnerDied()
        answer: asyncio.Future[frames.Report] = self._loop.create_future()
        self._calls[number] = answer
        self._send(question)
        try:
            report = await answer
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            self._calls.pop(number, None)
        assert isinstance(report, kind), f"{type(report).__name__} answers a question for {kind.__name__}"
        return report

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _cancel(self, number: int) -> None:
        self._channels.pop(number, None)
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
        self._last_sign = self._clock.now()
        if fd == 2:
            for line in self._log_lines.feed(data):
                self._faults.read(line)
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
        elif lost and self._end_timer is None:
            self._end_timer = self._clock.call_later(_LAST_WORDS, self._end)

    # -- reports --------------------------------------------------------------------------------------------------

    def _dispatch(self, report: frames.Report) -> None:
        if isinstance(report, frames.Step):
            channels = self._channels
            for delta in report.deltas:
                if (channel := channels.get(delta.id)) is not None:
                    channel.push(delta)
            for done in report.done:
                if (channel := channels.pop(done.id, None)) is not None:
                    channel.finish(done)
        elif isinstance(report, frames.Failed):
            self._request_failed(report)
        elif isinstance(report, frames.Embedded | frames.Ranked | frames.Tokens | frames.Text):
            answer = self._calls.get(report.id)
            if answer is not None and not answer.done():
                answer.set_result(report)
        else:
            self._load_reported(report)

    def _request_failed(self, failed: frames.Failed) -> None:
        message = failed.message
        if failed.status >= 500 and tells_of_memory(self._faults.text) and not tells_of_memory(message):
            message = f"{message}: {self._faults.last}"
        error = RunnerFailed(message, failed.status)
        if (channel := self._channels.pop(failed.id, None)) is not None:
            channel.fail(error)
        elif (answer := self._calls.get(failed.id)) is not None and not answer.done():
            answer.set_exception(error)

    def _load_reported(self, report: frames.Progress | frames.Loaded | frames.LoadFailed) -> None:
        if self._loaded.done() or self._state is not State.LOADING:
            return
        if isinstance(report, frames.Loaded):
            self._state = State.READY
            self._faults.clear()
            self._log_lines.last = ""
            self._loaded.set_result(report)
        elif isinstance(report, frames.LoadFailed):
            starved = tells_of_memory(report.message) or tells_of_memory(self._faults.text)
            starved = starved and not report.unsupported
            failure = errors.LoadFailed(report.message, unsupported=report.unsupported, out_of_memory=starved)
            self._fail_load(failure)

    def _fail_load(self, error: Exception) -> None:
        if not self._loaded.done():
            self._loaded.set_exception(error)
            self._loaded.exception()  # it may be that nobody waits; that is no reason to complain

    # -- silence and death ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Give the load up when nothing has come out of the process for the load timeout."""
        if self._load_timeout <= 0 or self._loaded.done():
            return
        silent = self._clock.now() - self._last_sign
        if silent >= self._load_timeout:
            self._fail_load(LoadStalled(self._faults.last or self._log_lines.last))
            self._kill()
        else:
            self._stall_timer = self._clock.call_later(self._load_timeout - silent, self._watch)

    def _end(self) -> None:
        """The process is lost: tell everyone why, and make sure that it is gone."""
        self._stall_timer, self._end_timer = _cancelled(self._stall_timer), _cancelled(self._end_timer)
        if not self._exited:
            self._kill()
            self._end_timer = self._clock.call_later(_LAST_WORDS, self._end)
        asked_for = self._state in (State.CLOSING, State.GONE)
        if self._death is None:
            self._death = self._obituary()
            self._fail_load(self._load_failure())
            self._fail_all(self._death)
            if not asked_for and self._on_death is not None:
                self._on_death(self._death)
        if self._exited:
            self._state = State.GONE
            self._close_transport()

    def _obituary(self) -> RunnerDied:
        last = self._faults.last or self._log_lines.last
        return RunnerDied(": ".join(filter(None, (exit_words(self._code), last))))

    def _load_failure(self) -> errors.LoadFailed:
        captured = self._faults.text or self._log_lines.last or _NO_REASON
        reason = ": ".join(filter(None, (exit_words(self._code), captured)))
        starved = tells_of_memory(captured)
        return errors.LoadFailed(f"llama runner process has terminated: {reason}", out_of_memory=starved)

    @property
    def _code(self) -> int | None:
        return self._transport.get_returncode() if self._transport is not None else None

    def _fail_all(self, error: Exception) -> None:
        for channel in self._channels.values():
            channel.fail(error)
        self._channels.clear()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(error)

    def _close_transport(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if not self._gone.done():
            self._gone.set_result(None)


def missing_file(load: frames.Load) -> str | None:
    """The first file of a model that does not exist."""
    paths = (*load.weights, *load.projectors, *load.draft, *(path for path, _ in load.adapters))
    return next((path for path in paths if not os.path.exists(path)), None)


def _cancelled(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()


def is_exiting(pid: int) -> bool:
    """Whether a process has begun to die, which takes a while when it has much memory to give back.

    Read from /proc/<pid>/stat (proc_pid_stat(5): the state, PF_EXITING in the kernel flags) and from /proc/<pid>/status
    (SIGKILL among the signals of all threads, where it stays until the end); False where there is none, as the end of
    the pipe will tell.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        if fields[0] in (b"Z", b"X") or int(fields[6]) & _PF_EXITING:
            return True
        with open(f"/proc/{pid}/status", "rb") as status:
            pending = _SHARED_PENDING.search(status.read())
    except (FileNotFoundError, ProcessLookupError):
        return os.path.exists("/proc/self/stat")
    except OSError:
        return False
    return pending is not None and bool(int(pending[1], 16) & _SIGKILL_BIT)
