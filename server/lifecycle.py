"""The daemon from start to end.

    bind ─▶ open the store ─▶ start the scheduler ─▶ listen ─▶ serve ─▶ drain ─▶ end
      └─ taken: exit 1, nothing written                 first signal ┘      └ second signal: at once, exit 1

While it drains, new requests are answered 503 and running ones go on until they are done or their time is up; then
their streams end with an error line. A third signal does not wait for anything.

uvicorn's parser and protocol do the HTTP work, without its main loop: that wakes ten times a second, and an idle
daemon is to sleep.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

import structlog
import uvicorn

from modelstore.errors import StoreError
from modelstore.store import Store
from scheduler.devices.choice import Wishes
from scheduler.devices.probe import SystemDevices
from scheduler.errors import ShuttingDown
from scheduler.loop import Scheduler
from scheduler.requests import Limits
from server import build, firststart, listening, log, selftest, servicestore
from server.app import create_app
from server.connection import Connection
from server.errors import ServerError
from server.origins import Origins
from server.services import Services
from server.settings import Settings
from server.transfers import BundledTransfers
from server.version import PROGRAM, PROGRAM_VERSION, REFERENCE_VERSION

_log = structlog.get_logger(__name__)

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
LAST_WORDS: Final = 0.5
"""Seconds for streams to send their error line once their time is up."""
FLUSH: Final = 0.3
"""Seconds for connections to send what is left and close, and for their work to unwind."""
KEEP_ALIVE: Final = 3600
"""Seconds an idle connection is kept; the reference sets no limit, and clients expect to use theirs again."""


def serve(settings: Settings) -> int:
    """Run until a signal comes; the exit status. What stops the start goes to standard error."""
    log.configure(settings.verbosity)
    try:
        Origins(settings.origins)
        sockets = listening.bind(settings.host)
        config = uvicorn.Config(_no_app, loop="auto", log_config=None)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            return runner.run(Daemon(settings, sockets).run())
    except (ServerError, StoreError) as error:
        print(f"Error: {error}", file=sys.stderr)
        if advice := getattr(error, "advice", ""):
            print(advice, file=sys.stderr)
        return 1


async def _no_app(*_: object) -> None: ...


def limits(settings: Settings) -> Limits:
    """What the operator allows the scheduler."""
    return Limits(
        keep_alive=settings.keep_alive,
        load_timeout=settings.load_timeout,
        max_queue=settings.max_queue,
        max_loaded=settings.max_loaded_models,
        num_parallel=settings.num_parallel,
        context_length=settings.context_length,
        flash_attention=settings.flash_attention,
        kv_cache_type=settings.kv_cache_type,
        gpu_overhead=settings.gpu_overhead,
        spread=settings.sched_spread,
        require_gpu=settings.require_gpu,
        spare=settings.spare_runner,
        prefix_memory=settings.prefix_memory,
    )


def wishes(settings: Settings) -> Wishes:
    """What the operator wants of GPUs."""
    return Wishes(
        library=settings.llm_library,
        igpu=settings.igpu_enable,
        vulkan=settings.vulkan,
        require=settings.require_gpu,
    )


class Interrupts:
    """Signals that ask for the end, counted: the first drains, the second cuts, the third kills."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.cut = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def watch(self) -> None:
        """From now on. Handlers are set explicitly, so they work for process 1 of a container too."""
        for number in SIGNALS:
            try:
                self._loop.add_signal_handler(number, self.note)
            except NotImplementedError:  # Windows
                signal.signal(number, self._note_from_outside)

    def note(self) -> None:
        """One more signal."""
        if self.cut.is_set():
            os._exit(1)
        (self.cut if self.stop.is_set() else self.stop).set()

    def _note_from_outside(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.note)


class Daemon:
    """One run."""

    def __init__(self, settings: Settings, sockets: Sequence[socket.socket]) -> None:
        self._settings = settings
        self._sockets = list(sockets)

    async def run(self) -> int:
        """Start, serve, drain, end. Raises `ServerError`, `StoreError` if it cannot start."""
        interrupts = Interrupts()
        interrupts.watch()
        services = await self._start()
        try:
            server = await self._listen(services)
        except BaseException:
            await services.scheduler.stop()
            raise
        trial = asyncio.create_task(selftest.check(build.read()))
        if firststart.is_asked_for():
            print(await asyncio.to_thread(firststart.welcome, self._settings, services.store, build.read()), flush=True)
        await interrupts.stop.wait()
        trial.cancel()
        _log.info("shutting down", drain=f"{self._settings.drain_timeout:g}s")
        await drain(services, interrupts.cut, self._settings.drain_timeout)
        await services.reception.close()
        await _close(server)
        return 1 if interrupts.cut.is_set() else 0

    async def _start(self) -> Services:
        settings = self._settings
        _log.info("server config", **settings.listing())
        for warning in settings.warnings:
            _log.warning(warning)
        store = await asyncio.to_thread(
            Store.open,
            settings.models,
            prune=not settings.no_prune,
            go_template=settings.go_template,
            extras=settings.models_extra,
        )
        if await asyncio.to_thread(firststart.seed, store) is None:
            await asyncio.to_thread(servicestore.mention, settings, store)
        scheduler = Scheduler(limits(settings), devices=SystemDevices(wishes(settings)))
        await scheduler.start()
        return Services(settings, store, scheduler, BundledTransfers())

    async def _listen(self, services: Services) -> uvicorn.Server:
        first = self._sockets[0]
        app = create_app(services, check_hosts=listening.is_loopback(first))
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        try:
            await server.startup(self._sockets)
        except OSError as error:
            raise listening.refused(self._settings.host, error) from error
        services.reception.open(services.store, services.activity)
        for sock in self._sockets:
            _log.info(f"Listening on {listening.address_of(sock)} (version {REFERENCE_VERSION})")
        _log.info("ready", program=f"{PROGRAM} {PROGRAM_VERSION}")
        return server


async def drain(services: Services, cut: asyncio.Event, seconds: float) -> None:
    """Refuse new requests, and end the running ones: by themselves, or when `seconds` are over, or at `cut`."""
    idle = asyncio.Event()
    services.activity.draining = True
    services.activity.when_idle(idle.set)
    leases = asyncio.ensure_future(services.scheduler.stop(seconds))
    await _first_of(idle, cut, timeout=seconds)
    services.jobs.stop(ShuttingDown())
    services.reception.stop()
    await services.scheduler.stop(0.0)
    await leases
    await _first_of(idle, timeout=LAST_WORDS)


async def _first_of(*events: asyncio.Event, timeout: float) -> None:
    """Return when one of the events has happened, or after `timeout` seconds."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _close(server: uvicorn.Server) -> None:
    """Stop listening and close connections: those that still answer lose theirs, and with it their work."""
    for listener in server.servers:
        listener.close()
    state = server.server_state
    for connection in list(state.connections):
        connection.shutdown()
    await _emptied(state.connections)
    for connection in list(state.connections):
        connection.transport.abort()
    await _emptied(state.tasks)


async def _emptied(things: Collection[object]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(FLUSH):
            while things:  # noqa: ASYNC110  (uvicorn tells nobody when it takes something out)
                await asyncio.sleep(0.01)
