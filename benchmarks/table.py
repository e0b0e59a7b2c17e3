"""A ledger as text."""

from collections.abc import Sequence
from typing import Final

from benchmarks.ledger import BENCH, OURS, SERVER, Budget, Ledger, Row
from benchmarks.samples import Sample, ratio

_HEAD: Final = ("", "unit", OURS, "±%", SERVER, "±%", "ratio", BENCH, "ratio")
_NOTHING: Final = "–"
_LEGEND: Final = """ratio: llamad / peer, the median of the rounds. ↑ more is better, ↓ less is better.
±%: the largest round less the smallest, of the median."""


def render(ledger: Ledger) -> str:
    """The comparison, the budgets, and what they depend on."""
    rows = [_cells(ledger, row) for row in ledger.figures]
    budgets = [("budget", "unit", "limit", "measured", ""), *map(_budget_cells, ledger.budgets)]
    parts = [
        _columns([_HEAD, *rows]),
        _LEGEND,
        _columns(budgets) if ledger.budgets else "",
        "\n".join(f"{name}: {value}" for name, value in ledger.facts.items()),
    ]
    return "\n\n".join(filter(None, parts))


def _cells(ledger: Ledger, row: Row) -> tuple[str, ...]:
    ours, server, bench = (ledger.sample(row, party) for party in (OURS, SERVER, BENCH))
    arrow = "↑" if row.more_is_better else "↓"
    return (
        f"{row.name} {arrow}",
        row.unit,
        *_figure(ours),
        *_figure(server),
        _ratio(ours, server),
        _figure(bench)[0],
        _ratio(ours, bench),
    )


def _figure(sample: Sample | None) -> tuple[str, str]:
    if sample is None:
        return _NOTHING, _NOTHING
    return number(sample.median), f"{sample.spread * 100:.0f}"


def _ratio(ours: Sample | None, peer: Sample | None) -> str:
    value = ratio(ours, peer) if ours is not None else None
    return _NOTHING if value is None else f"{value:.2f}"


def _budget_cells(budget: Budget) -> tuple[str, ...]:
    return (budget.name, budget.unit, number(budget.limit), number(budget.value), "ok" if budget.kept else "OVER")


def number(value: float) -> str:
    """Three digits that matter, and all digits before the point."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{decimals}f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """The first two columns to the left, the rest to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
