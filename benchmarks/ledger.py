"""What was measured: rows of the comparison, and budgets that we set ourselves."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from benchmarks.samples import Sample, ratio

Party: TypeAlias = Literal["llamad", "llama-server", "llama-bench"]
OURS: Final[Party] = "llamad"
SERVER: Final[Party] = "llama-server"
BENCH: Final[Party] = "llama-bench"
PEERS: Final[tuple[Party, ...]] = (SERVER, BENCH)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison."""

    name: str
    unit: str
    more_is_better: bool


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

    def note(self, row: Row, party: Party, value: float) -> None:
        """One more round of a row."""
        self.figures.setdefault(row, {}).setdefault(party, []).append(value)

    def sample(self, row: Row, party: Party) -> Sample | None:
        """All rounds of a row; None where that party took no part."""
        values = self.figures[row].get(party)
        return Sample.of(values) if values else None

    def to_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        return {
            "facts": self.facts,
            "rows": list(map(self._row_to_json, self.figures)),
            "budgets": [
                {"name": b.name, "unit": b.unit, "value": b.value, "limit": b.limit, "kept": b.kept}
                for b in self.budgets
            ],
        }

    def _row_to_json(self, row: Row) -> dict[str, Any]:
        parties = self.figures[row]
        ours = self.sample(row, OURS)
        ratios = {peer: ratio(ours, self.sample(row, peer)) for peer in PEERS if ours and peer in parties}
        medians = {party: Sample.of(values).median for party, values in parties.items()}
        return {
            "name": row.name,
            "unit": row.unit,
            "more_is_better": row.more_is_better,
            "rounds": parties,
            "medians": medians,
            "ratios": ratios,
        }


def broken(budgets: Iterable[Budget]) -> list[Budget]:
    """Those that are not kept."""
    return [budget for budget in budgets if not budget.kept]
