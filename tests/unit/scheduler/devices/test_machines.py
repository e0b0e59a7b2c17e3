"""Whole machines, from raw inputs to the devices that models may be placed on."""

from pathlib import Path

import pytest

from scheduler.devices.probe import SystemDevices
from tests.unit.scheduler.devices.fixtures.machines import NAMES, line, machine

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", NAMES)
async def test_the_devices_of_a_machine(name: str, tmp_path: Path) -> None:
    one = machine(name, tmp_path)
    snapshot = await SystemDevices(sources=one.sources(), platform=one.platform).refresh()
    assert [line(gpu) for gpu in snapshot.gpus] == one.expected


@pytest.mark.parametrize("name", NAMES)
async def test_a_second_look_sees_the_same_and_does_not_ask_the_engine_again(name: str, tmp_path: Path) -> None:
    one = machine(name, tmp_path)
    devices = SystemDevices(sources=one.sources(), platform=one.platform)
    first = await devices.refresh()
    asked = len(one.engine.asked)
    assert await devices.refresh() == first
    only_the_engine_tells = first.gpus and first.gpus[0].library == "Vulkan"
    assert len(one.engine.asked) == asked + bool(only_the_engine_tells)


async def test_limits_of_a_container_hold_for_memory_swap_and_threads(tmp_path: Path) -> None:
    one = machine("container_without_gpus", tmp_path)
    host = (await SystemDevices(sources=one.sources()).refresh()).host
    assert (host.total, host.free, host.swap_free, host.threads) == (268435456, 188435456, 0, 2)


async def test_free_memory_is_what_the_driver_says_now(tmp_path: Path) -> None:
    one = machine("server_two_gpus", tmp_path)
    assert one.nvml is not None
    devices = SystemDevices(sources=one.sources())
    await devices.refresh()
    one.nvml.cards[1]["mib"] = (45466, 1000)
    assert [gpu.free >> 20 for gpu in (await devices.refresh()).gpus] == [45260, 1000]


async def test_free_memory_that_only_the_engine_tells_is_asked_of_it(tmp_path: Path) -> None:
    one = machine("laptop_hybrid", tmp_path)
    devices = SystemDevices(sources=one.sources())
    await devices.refresh()
    one.engine.devices[1]["free"] = 1 << 30
    assert [gpu.free for gpu in (await devices.refresh()).gpus] == [1 << 30]
