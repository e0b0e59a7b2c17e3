"""Waiting until a GPU's memory is really back after a runner has ended: drivers report it late."""

from typing import Final

from scheduler.clock import Clock, sleep
from scheduler.devices import Device, Devices, Snapshot, Usage

_POLL: Final = 0.25
_PATIENCE: Final = 5.0
_ENOUGH_PERCENT: Final = 75


def matters(usage: Usage, snapshot: Snapshot) -> bool:
    """Whether the memory of the GPUs in use is reported late: not that of the system, nor a lone Metal device's."""
    used = _used(usage, snapshot)
    if len(used) == 1 and used[0].library == "Metal":
        return False
    return any(not gpu.integrated for gpu in used)


def _used(usage: Usage, snapshot: Snapshot) -> list[Device]:
    return [gpu for gpu in snapshot.gpus if usage.gpus.get(gpu.id, 0) > 0]


async def recovered(expected: int, before: Snapshot, *, devices: Devices, clock: Clock) -> bool:
    """Wait until more than three quarters of `expected` bytes are free again, five seconds at most; whether they are.

    `before` was taken while the runner still had it.
    """
    free_before = sum(gpu.free for gpu in before.gpus)
    give_up = clock.now() + _PATIENCE
    while True:
        free_now = sum(gpu.free for gpu in (await devices.refresh()).gpus)
        if (free_now - free_before) * 100 > expected * _ENOUGH_PERCENT:
            return True
        if clock.now() >= give_up:
            return False
        await sleep(clock, _POLL)
