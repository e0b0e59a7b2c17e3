"""Long work on the store: it runs on a thread of its own and tells events, which are the lines of a stream.

    starting ──first event──▶ streaming ──▶ done | failed
        └──failed before it: an ordinary error answer

When the client hangs up, the next event that the work tells raises `JobStopped` in its thread.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from modelstore.progress import Progress, Report
from server import jsonout
from server.errors import ApiError, describe
from server.presence import unless_gone
from server.responses import BARE_JSON, NDJSON, ErrorResponse, JsonResponse
from server.stream import LiveResponse

_log = structlog.get_logger(__name__)

Work: TypeAlias = Callable[[Report], None]


class JobStopped(BaseException):
    """Nobody waits for the work any more. Raised out of `report`, so that the work unwinds."""


class Job:
    """One piece of work, once begun."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Progress | Exception | None] = asyncio.Queue()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin. The thread does not keep the process alive: unfinished work leaves the store as it was."""
        threading.Thread(target=self._run, name="job", daemon=True).start()

    async def next(self) -> Progress | None:
        """The next event, None after the last. Raises what the work raises."""
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    def stop(self, reason: Exception | None = None) -> None:
        """Have the work unwind, and whoever waits for an event get `reason`, or the end."""
        self._stopped.set()
        self._events.put_nowait(reason)

    def _run(self) -> None:
        try:
            self._work(self._report)
        except JobStopped:
            return
        except Exception as error:
            self._put(error)
        else:
            self._put(None)

    def _report(self, event: Progress) -> None:
        if self._stopped.is_set():
            raise JobStopped
        self._put(event)

    def _put(self, event: Progress | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: the daemon is gone before the work
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)


class Jobs:
    """The jobs that are under way."""

    def __init__(self) -> None:
        self._running: set[Job] = set()

    def stop(self, reason: Exception) -> None:
        """End them all with `reason` as their last word."""
        for job in list(self._running):
            job.stop(reason)

    async def respond(self, request: Request, work: Work, *, stream: bool) -> Response:
        """Do the work; answer with its events as they come, or with the last one.

        Raises what the work raises before there is an answer and nobody foresaw, and `ClientDisconnect`.
        """
        job = Job(work)
        self._running.add(job)
        job.start()
        try:
            first = await unless_gone(request, job.next() if stream else _last(job))
        except BaseException as error:
            self._leave(job)
            if isinstance(error, Exception) and (answer := describe(error)):
                return ErrorResponse(answer, BARE_JSON)
            raise
        if stream:
            return LiveResponse(_lines(job, first), lambda: self._leave(job), media_type=NDJSON)
        self._leave(job)
        return JsonResponse(_members(first) if first else {}, media_type=BARE_JSON)

    def _leave(self, job: Job) -> None:
        job.stop()
        self._running.discard(job)


async def _last(job: Job) -> Progress | None:
    last = None
    while (event := await job.next()) is not None:
        last = event
    return last


async def _lines(job: Job, event: Progress | None) -> AsyncGenerator[bytes, None]:
    """The stream: a line an event, and one for an error."""
    try:
        while event is not None:
            yield _line(_members(event))
            event = await job.next()
    except Exception as error:
        answer = describe(error)
        if answer is None:
            _log.exception("job failed")
            answer = ApiError(500, "internal server error")
        yield _line({"error": answer.message})


def _members(event: Progress) -> dict[str, Any]:
    return msgspec.to_builtins(event)


def _line(value: Any) -> bytes:
    return jsonout.dumps(value) + b"\n"
