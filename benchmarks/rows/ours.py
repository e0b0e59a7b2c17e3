"""Budgets that we set ourselves: the daemon at rest, and the runner beside the engine."""

import asyncio
from typing import Final

from benchmarks import footprint, looppass, proc
from benchmarks.ledger import Budget
from benchmarks.rows.stand import MB, Group, Stand

_SETTLE: Final = 5.0
"""Seconds after the daemon's start at which its memory is looked at."""
_PASSES: Final = 800
"""Of the runner's loop, to see what it costs beside the engine; prompt and answer must fit into a slot."""


async def _rest(stand: Stand) -> None:
    """Expects a daemon that has just started, and served nobody."""
    idle, ledger, daemon = stand.idle_seconds, stand.ledger, stand.ours.pid
    stand.say(f"the daemon at rest, {_SETTLE + idle:.0f} s")
    await asyncio.sleep(_SETTLE)
    private = proc.private_bytes(daemon) / MB
    ledger.budgets.append(Budget("daemon, private resident 5 s after start", "MB", private, 90))
    spares = [proc.private_bytes(pid) / MB for pid in stand.ours.runners()]
    ledger.facts["spare runner, private resident"] = ", ".join(f"{size:.0f} MB" for size in spares) or "none"
    before = proc.cpu_seconds(daemon)
    await asyncio.sleep(idle)
    used = proc.cpu_seconds(daemon) - before
    ledger.budgets.append(Budget("daemon, CPU while idle", "%", 100 * used / idle, 0.1))


async def _loop(stand: Stand) -> None:
    await asyncio.to_thread(_measure_loop, stand)


def _measure_loop(stand: Stand) -> None:
    ledger, setting, subject = stand.ledger, stand.setting, stand.subjects[0]
    name, model = subject.shape.name, stand.model(subject.shape)
    one = looppass.measure(model.file, setting, streams=1, passes=_PASSES)
    many = looppass.measure(model.file, setting, streams=setting.slots, passes=_PASSES // 4)
    ledger.budgets.append(Budget(f"runner, pass beside the engine, {name}, 1 stream", "µs", one.rest, 60))
    for cost in (one, many):
        ledger.facts[f"runner, pass beside the engine, {name}, streams: {cost.streams}"] = (
            f"{cost.rest:.0f} µs ({cost.decode:.0f} in llama_decode, {cost.sample:.0f} in samplers)"
        )
    size = footprint.measure(model.file, setting)
    ledger.budgets.append(Budget("runner, private resident above the engine's buffers", "MB", size.beyond / MB, 80))
    ledger.facts["runner, private resident / engine's buffers"] = (
        f"{size.private / MB:.0f} MB / {size.engine / MB:.0f} MB"
    )


REST: Final = Group("rest", _rest, once=True)
LOOP: Final = Group("loop", _loop, once=True)
