"""One run: all sides, the chosen groups of rows, round after round."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkError
from benchmarks.folders import Folders
from benchmarks.ledger import OURS, SERVER_LRU, Ledger, Party
from benchmarks.llamad import Llamad
from benchmarks.llamaserver import LlamaServer
from benchmarks.native import NativeDaemon
from benchmarks.ollama import Ollama
from benchmarks.peers import Peers
from benchmarks.rows import GROUPS
from benchmarks.rows.stand import SUBJECTS, Group, Stand, Subject
from benchmarks.sides import Setting, Side

_FORGETFUL: Final = ("--cache-ram", "0")
"""For rows in which no prompt comes again: no second copy of finished prompts in memory."""
_OLDEST_SLOT: Final = ("--slot-prompt-similarity", "0")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of the whole is to be run."""

    rounds: int = 3
    subjects: Sequence[Subject] = SUBJECTS
    groups: Sequence[Group] = GROUPS
    ollama: Path | None = None
    idle_seconds: float = 30.0
    quick: bool = False


class Session:
    """Measures into a ledger."""

    def __init__(
        self, programs: Peers, folders: Folders, setting: Setting, wishes: Wishes, say: Callable[[str], None]
    ) -> None:
        self.ledger = Ledger()
        self._programs = programs
        self._folders = folders
        self._setting = setting
        self._wishes = wishes
        self._say = say
        ours = Llamad(folders.runs / "llamad")
        self._daemons: list[NativeDaemon] = [ours]
        if wishes.ollama is not None:
            self._daemons.append(Ollama(wishes.ollama, folders.runs / "ollama"))
        self._stand = Stand(
            self.ledger, programs, folders, say, ours, wishes.subjects, wishes.quick, wishes.idle_seconds
        )

    async def run(self) -> Ledger:
        """Everything. Raises `BenchmarkError` when the daemons cannot be made ready; later it is noted."""
        try:
            await self._fill_stores()
            for slots in dict.fromkeys(group.slots for group in self._wishes.groups):
                groups = [group for group in self._wishes.groups if group.slots == slots]
                await self._all_rounds(replace(self._setting, slots=slots), groups)
        finally:
            await self._stop([*self._stand.sides, *self._daemons])
        return self.ledger

    async def _fill_stores(self) -> None:
        """In a life of the daemons that is not measured: what an upload leaves behind is no daemon's resting state."""
        needed = {shape for group in self._wishes.groups for shape in group.shapes(self._stand)}
        models = [self._stand.model(shape) for shape in sorted(needed, key=lambda shape: shape.name)]
        for daemon in self._daemons:
            self._say(f"filling the store of {daemon.party}")
            daemon.empty()
            await daemon.start(self._setting)
            for model in models:
                await daemon.add(model)
            await daemon.stop()

    async def _all_rounds(self, setting: Setting, groups: Sequence[Group]) -> None:
        """With the daemons started once for all of them."""
        self._stand.setting = setting
        await self._start(self._daemons, setting)
        for round in range(self._wishes.rounds):
            for group in groups:
                if round == 0 or not group.once:
                    self._say(f"round {round + 1} of {self._wishes.rounds}: {group.name}")
                    await self._measure(group, setting, round)
        await self._stop(self._daemons)

    async def _measure(self, group: Group, setting: Setting, round: int) -> None:
        """One group; what goes wrong is noted, and the daemons begin anew."""
        sides = [side for side in self._sides(group.slots) if side.party == OURS or side.party in group.parties]
        self._stand.sides = sides if round % 2 == 0 else sides[::-1]
        for side in sides:
            if side not in self._daemons:
                await side.start(setting)
        try:
            await group.measure(self._stand)
        except (BenchmarkError, OSError) as error:
            self._say(f"{group.name}: {error!r}")
            self.ledger.failures.append(f"{group.name}, round {round + 1}: {error}")
            await self._stop([*sides, *self._daemons])
            await self._start(self._daemons, setting)

    def _sides(self, slots: int) -> list[Side]:
        """Everyone who can take part with so many slots."""
        caching: dict[Party, Sequence[str]] = {"llama-server": _FORGETFUL if slots == self._setting.slots else ()}
        if slots != self._setting.slots:
            caching[SERVER_LRU] = _OLDEST_SLOT
        servers = [
            LlamaServer(self._programs, self._folders.runs / party.replace(", ", "-"), party=party, caching=options)
            for party, options in caching.items()
        ]
        return [self._daemons[0], *servers, *self._daemons[1:]]

    async def _start(self, daemons: Sequence[NativeDaemon], setting: Setting) -> None:
        for daemon in daemons:
            seconds = await daemon.start(setting)
            self.ledger.facts[f"{daemon.party} answers after"] = f"{seconds:.2f} s"

    async def _stop(self, sides: Sequence[Side]) -> None:
        for side in sides:
            await side.stop()
