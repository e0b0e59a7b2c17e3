"""Asking a runner whether it still answers, before a request is entrusted to it.

A process can be there and serve nobody: stopped by a signal, caught in a driver, deadlocked. One that is at work, or
has been heard of just now, need not be asked: the question costs a way there and back.
"""

import asyncio
from typing import Final

from scheduler.clock import Clock, sleep
from scheduler.errors import RunnerDied
from scheduler.ports import Runner

SILENCE: Final = 1.0
"""Seconds without a word from an idle runner after which it is asked."""

PATIENCE: Final = 10.0
"""Seconds it has for the answer."""


class Ping:
    """The question to one runner; those who want to know at the same time share it."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._asking: asyncio.Task[bool] | None = None

    async def answered(self) -> bool:
        """Whether a request may be sent now. Cancelling leaves the question to the others."""
        if self._asking is None:
            if self._runner.silence < SILENCE:
                return True
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._over)
        return await asyncio.shield(self._asking)

    def _over(self, _: asyncio.Task[bool]) -> None:
        self._asking = None

    async def _ask(self) -> bool:
        question = asyncio.ensure_future(self._runner.detokenize([]))
        patience = asyncio.ensure_future(sleep(self._clock, PATIENCE))
        try:
            await asyncio.wait({question, patience}, return_when=asyncio.FIRST_COMPLETED)
            return question.done() and not isinstance(question.exception(), RunnerDied)
        finally:
            question.cancel()
            patience.cancel()
