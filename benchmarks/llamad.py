"""Our daemon as a side of the comparison."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from benchmarks import proc
from benchmarks.folders import ROOT
from benchmarks.ledger import OURS, Party
from benchmarks.native import NativeDaemon
from benchmarks.sides import Model

_SETTLED: Final = 15.0
"""Seconds within which the daemon has a runner standing by, however busy the machine is."""
_LOOK: Final = 0.5
_NO_PROPOSALS: Final = {"draft_num_predict": -1}


class Llamad(NativeDaemon):
    """Our daemon: beside the runner of a model it has one standing by."""

    party: Party = OURS

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, [sys.executable, "-m", "server", "serve"], ROOT, {})

    async def load(self, model: Model, *, proposals: bool = True) -> float:
        """The next spare is ready when this returns; `proposals` is whether tokens may be guessed ahead."""
        self._model = model
        self._options = {"num_thread": self._setting.threads, **({} if proposals else _NO_PROPOSALS)}
        await self._settled(runners=1)
        seconds = await self._load()
        await self._settled(runners=2)
        return seconds

    async def _settled(self, runners: int) -> None:
        """Wait until there are so many runners, and none of them has anything more to do."""
        deadline = asyncio.get_running_loop().time() + _SETTLED
        before: dict[int, float] = {}
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_LOOK)
            now = {pid: proc.cpu_seconds(pid) for pid in self.runners()}
            if len(now) == runners and now == before:
                return
            before = now
