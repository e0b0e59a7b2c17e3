"""A ledger as text."""

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.ledger import OURS, Budget, Ledger, Party, Row, Verdict
from benchmarks.samples import Sample

_HEAD: Final = ("", "unit", OURS, "±%", "peer", "", "±%", "ratio", "limit", "")
_LEFT: Final = (0, 1, 4, 9)
"""Columns of words."""
_NOTHING: Final = "–"
_LEGEND: Final = """ratio: llamad / peer, the median of the rounds. ↑ more is better, ↓ less is better.
±%: the largest round less the smallest, of the median. A limit stands beside the peer against which it is held."""


def render(ledger: Ledger) -> str:
    """The comparison, the budgets, what could not be measured, and what the figures depend on."""
    rows = [cells for row in ledger.figures for cells in _cells(ledger, row)]
    budgets = [("budget", "unit", "limit", "measured", ""), *map(_budget_cells, ledger.budgets)]
    parts = [
        f"{_columns([_HEAD, *rows], _LEFT)}\n\n{_LEGEND}" if rows else "",
        _columns(budgets, (0, 1, 4)) if ledger.budgets else "",
        "\n".join(f"not measured: {failure}" for failure in ledger.failures),
        "\n".join(f"{name}: {value}" for name, value in ledger.facts.items()),
    ]
    return "\n\n".join(filter(None, parts))


def _cells(ledger: Ledger, row: Row) -> Iterator[tuple[str, ...]]:
    """A line for each peer; ours stands in the first."""
    arrow = "↑" if row.more_is_better else "↓"
    head = (f"{row.name} {arrow}", row.unit, *_figure(ledger.sample(row, OURS)))
    verdicts = list(ledger.verdicts(row))
    for peer in ledger.peers(row):
        mine = [verdict for verdict in verdicts if verdict.peer == peer]
        yield (*head, peer, *_figure(ledger.sample(row, peer)), _ratio(ledger, row, peer), *_verdict_cells(row, mine))
        head = ("", "", "", "")
    if head[0]:
        yield (*head, "", _NOTHING, _NOTHING, _NOTHING, "", "")


def _figure(sample: Sample | None) -> tuple[str, str]:
    if sample is None:
        return _NOTHING, _NOTHING
    return number(sample.median), f"{sample.spread * 100:.0f}"


def _ratio(ledger: Ledger, row: Row, peer: Party) -> str:
    value = ledger.ratio(row, peer)
    return _NOTHING if value is None else f"{value:.2f}"


def _verdict_cells(row: Row, verdicts: Sequence[Verdict]) -> tuple[str, str]:
    sign = "≥" if row.more_is_better else "≤"
    limits = ", ".join(f"{sign} {verdict.limit.ratio:.2f}" for verdict in verdicts)
    return limits, ", ".join("kept" if verdict.kept else "missed" for verdict in verdicts)


def _budget_cells(budget: Budget) -> tuple[str, ...]:
    return (budget.name, budget.unit, number(budget.limit), number(budget.value), "ok" if budget.kept else "OVER")


def number(value: float) -> str:
    """Three digits that matter, and all digits before the point."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{decimals}f}"


def _columns(rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """Columns of words to the left, those of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for row in rows:
        cells = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
