"""From the first signal to the end, and how the operator's settings reach the scheduler."""

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.devices.choice import Wishes
from scheduler.requests import FOREVER, Limits
from server import lifecycle, listening, log
from server.lifecycle import Daemon, Interrupts, drain, limits, wishes
from server.services import Services
from server.settings import Settings

pytestmark = pytest.mark.anyio


def leave_the_log(_: int) -> None:
    """Logging is the test runner's here."""


def test_settings_become_limits() -> None:
    settings = Settings.from_env(
        {
            "HOME": "/nowhere",
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_LOAD_TIMEOUT": "0",
            "OLLAMA_MAX_QUEUE": "7",
            "OLLAMA_MAX_LOADED_MODELS": "2",
            "OLLAMA_NUM_PARALLEL": "3",
            "OLLAMA_CONTEXT_LENGTH": "99",
            "OLLAMA_FLASH_ATTENTION": "0",
            "OLLAMA_KV_CACHE_TYPE": "q8_0",
            "OLLAMA_GPU_OVERHEAD": "5",
            "OLLAMA_SCHED_SPREAD": "1",
            "LLAMAD_SPARE_RUNNER": "0",
        }
    )
    assert limits(settings) == Limits(FOREVER, 0.0, 7, 2, 3, 99, False, "q8_0", 5, True, spare=False)


def test_settings_about_gpus_reach_the_devices_and_the_scheduler() -> None:
    environ = {
        "HOME": "/nowhere",
        "OLLAMA_LLM_LIBRARY": "cuda_v12",
        "OLLAMA_IGPU_ENABLE": "0",
        "OLLAMA_VULKAN": "0",
        "LLAMAD_REQUIRE_GPU": "1",
    }
    settings = Settings.from_env(environ)
    assert wishes(settings) == Wishes(library="cuda_v12", igpu=False, vulkan=False, require=True)
    assert limits(settings).require_gpu
    plain = Settings.from_env({"HOME": "/nowhere"})
    assert wishes(plain) == Wishes()
    assert not limits(plain).require_gpu


async def test_an_idle_daemon_drains_at_once(services: Services, scheduler: Any) -> None:
    await drain(services, asyncio.Event(), 60.0)
    assert services.activity.draining
    assert scheduler.stops == [60.0, 0.0]


async def test_running_requests_may_finish(services: Services) -> None:
    services.activity.enter()
    draining = asyncio.create_task(drain(services, asyncio.Event(), 60.0))
    await asyncio.sleep(0)
    assert services.activity.draining
    services.activity.leave()
    await draining


async def test_the_second_signal_does_not_wait(services: Services, scheduler: Any) -> None:
    """The scheduler ends what runs; that lets the request go."""
    services.activity.enter()
    cut = asyncio.Event()
    cut.set()
    scheduler.on_stop = lambda: scheduler.stops[-1] == 0.0 and services.activity.leave()
    await drain(services, cut, 60.0)
    assert scheduler.stops == [60.0, 0.0]


async def test_time_runs_out(services: Services, scheduler: Any) -> None:
    services.activity.enter()
    scheduler.on_stop = lambda: len(scheduler.stops) == 2 and services.activity.leave()
    await drain(services, asyncio.Event(), 0.0)


async def test_signals_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "_exit", killed.append)
    interrupts = Interrupts()
    interrupts.note()
    assert (interrupts.stop.is_set(), interrupts.cut.is_set()) == (True, False)
    interrupts.note()
    assert interrupts.cut.is_set()
    interrupts.note()
    assert killed == [1]


class Sleeper:
    """A scheduler that has nothing to do."""

    def __init__(self, _: Limits, *, devices: object) -> None: ...

    async def start(self) -> None: ...

    async def stop(self, drain: float = 0.0) -> None: ...

    def loaded(self) -> list[object]:
        return []


async def test_a_daemon_serves_until_a_signal_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "Scheduler", Sleeper)
    settings = Settings.from_env({"HOME": str(tmp_path), "OLLAMA_HOST": "127.0.0.1:0"})
    sockets = listening.bind(settings.host)
    address = listening.address_of(sockets[0])
    running = asyncio.create_task(Daemon(settings, sockets).run())
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await _when_ready(client, f"http://{address}/api/version")
        assert answer.headers["date"]
        assert "server" not in answer.headers
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 0
    assert (tmp_path / ".ollama" / "models" / "blobs").is_dir()


async def _when_ready(client: httpx.AsyncClient, url: str) -> httpx.Response:
    while True:
        try:
            return await client.get(url)
        except httpx.ConnectError:
            await asyncio.sleep(0)


def test_a_taken_port_ends_the_start_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "configure", leave_the_log)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = listening.address_of(taken)
        settings = Settings.from_env({"HOME": str(tmp_path), "OLLAMA_HOST": address})
        assert lifecycle.serve(settings) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"Error: listen tcp {address}: bind: address already in use"
    assert second.startswith(f"another program answers on {address}; to start beside it: OLLAMA_HOST=127.0.0.1:")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_origin_ends_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "configure", leave_the_log)
    assert lifecycle.serve(Settings.from_env({"HOME": str(tmp_path), "OLLAMA_ORIGINS": "x"})) == 1
    assert "OLLAMA_ORIGINS" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
