"""What was measured: rows of the comparison with the limits they are to keep, and budgets of ours alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from benchmarks.samples import Sample, ratio

Party: TypeAlias = Literal[
    "llamad", "llama-server", "ollama", "llama-bench", "llama-server, LRU", "llamad, free", "llamad, no proposals"
]
OURS: Final[Party] = "llamad"
SERVER: Final[Party] = "llama-server"
OLLAMA: Final[Party] = "ollama"
BENCH: Final[Party] = "llama-bench"
SERVER_LRU: Final[Party] = "llama-server, LRU"
"""llama-server told to take the slot that was used longest ago, and to find states in host memory."""
FREE: Final[Party] = "llamad, free"
"""Ours without a format."""
ALONE: Final[Party] = "llamad, no proposals"
"""Ours without proposals of tokens."""
RIVALS: Final[tuple[Party, ...]] = (SERVER, OLLAMA)
"""Who is meant by "the better of the others"."""
PEERS: Final[tuple[Party, ...]] = (SERVER, OLLAMA, BENCH, SERVER_LRU, FREE, ALONE)


@dataclass(frozen=True, slots=True)
class Limit:
    """What the ratio of ours to a peer has to reach, or not to exceed; without a peer, to the better of the rivals."""

    ratio: float
    against: Party | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison."""

    name: str
    unit: str
    more_is_better: bool
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A limit, and the peer against which it was held."""

    row: Row
    limit: Limit
    peer: Party
    ratio: float

    @property
    def kept(self) -> bool:
        """Whether the ratio is within the limit."""
        return self.ratio >= self.limit.ratio if self.row.more_is_better else self.ratio <= self.limit.ratio


@dataclass(frozen=True, slots=True)
class Budget:
    """One figure of ours with the limit it has to keep."""

    name: str
    unit: str
    value: float
    limit: float

    @property
    def kept(self) -> bool:
        """Whether the figure is within the limit."""
        return self.value <= self.limit


@dataclass(slots=True)
class Ledger:
    """Figures as they come in, round by round, in the order in which rows were first heard of."""

    figures: dict[Row, dict[Party, list[float]]] = field(default_factory=dict[Row, dict[Party, list[float]]])
    budgets: list[Budget] = field(default_factory=list[Budget])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the figures depend on: machine, versions, settings."""
    failures: list[str] = field(default_factory=list[str])
    """What could not be measured, and why."""

    def note(self, row: Row, party: Party, value: float) -> None:
        """One more round of a row."""
        self.figures.setdefault(row, {}).setdefault(party, []).append(value)

    def sample(self, row: Row, party: Party) -> Sample | None:
        """All rounds of a row; None where that party took no part."""
        values = self.figures[row].get(party)
        return Sample.of(values) if values else None

    def peers(self, row: Row) -> list[Party]:
        """Who took part beside us."""
        return [peer for peer in PEERS if peer in self.figures[row]]

    def ratio(self, row: Row, peer: Party) -> float | None:
        """Ours to theirs; None where one of the two is missing."""
        ours = self.sample(row, OURS)
        return ratio(ours, self.sample(row, peer)) if ours is not None else None

    def verdicts(self, row: Row) -> Iterator[Verdict]:
        """One a limit; none where its peer took no part."""
        for limit in row.limits:
            against: tuple[Party, ...] = RIVALS if limit.against is None else (limit.against,)
            known: dict[Party, float] = {
                peer: value for peer in against if (value := self.ratio(row, peer)) is not None
            }
            if known:
                hardest = min(known, key=lambda peer: known[peer] if row.more_is_better else -known[peer])
                yield Verdict(row, limit, hardest, known[hardest])

    def to_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        return {
            "facts": self.facts,
            "rows": list(map(self._row_to_json, self.figures)),
            "budgets": [
                {"name": b.name, "unit": b.unit, "value": b.value, "limit": b.limit, "kept": b.kept}
                for b in self.budgets
            ],
            "failures": self.failures,
        }

    def _row_to_json(self, row: Row) -> dict[str, Any]:
        parties = self.figures[row]
        medians = {party: Sample.of(values).median for party, values in parties.items()}
        return {
            "name": row.name,
            "unit": row.unit,
            "more_is_better": row.more_is_better,
            "rounds": parties,
            "medians": medians,
            "ratios": {peer: value for peer in self.peers(row) if (value := self.ratio(row, peer)) is not None},
            "limits": [
                {"against": one.peer, "limit": one.limit.ratio, "ratio": one.ratio, "kept": one.kept}
                for one in self.verdicts(row)
            ],
        }


def broken(budgets: Iterable[Budget]) -> list[Budget]:
    """Those that are not kept."""
    return [budget for budget in budgets if not budget.kept]


def missed(ledger: Ledger) -> list[Verdict]:
    """Limits of the comparison that are not kept."""
    return [one for row in ledger.figures for one in ledger.verdicts(row) if not one.kept]
