"""Ledger and table."""

import json

import pytest

from benchmarks.ledger import BENCH, OURS, SERVER, Budget, Ledger, Row, broken
from benchmarks.table import number, render

DECODE = Row("small decode", "tok/s", more_is_better=True)
LOAD = Row("small load", "ms", more_is_better=False)


@pytest.fixture
def ledger() -> Ledger:
    """Two rows, one budget kept and one not."""
    made = Ledger(budgets=[Budget("memory", "MB", 80.0, 90.0), Budget("idle", "%", 0.2, 0.1)], facts={"cores": 2})
    for ours, server in ((1200.0, 1000.0), (1100.0, 1000.0), (900.0, 1000.0)):
        made.note(DECODE, OURS, ours)
        made.note(DECODE, SERVER, server)
        made.note(DECODE, BENCH, 2000.0)
    made.note(LOAD, OURS, 12.5)
    return made


def test_table(ledger: Ledger) -> None:
    """Medians, spreads, ratios against each peer; a dash where there was nothing to compare."""
    lines = render(ledger).splitlines()
    assert lines[1].split() == ["small", "decode", "↑", "tok/s", "1,100", "27", "1,000", "0", "1.10", "2,000", "0.55"]
    assert lines[2].split() == ["small", "load", "↓", "ms", "12.5", "0", "–", "–", "–", "–", "–"]
    assert any(line.split() == ["memory", "MB", "90.0", "80.0", "ok"] for line in lines)
    assert any(line.split() == ["idle", "%", "0.10", "0.20", "OVER"] for line in lines)
    assert lines[-1] == "cores: 2"


def test_columns_stand_under_each_other(ledger: Ledger) -> None:
    """Units begin where the head says so."""
    head, first, second = render(ledger).splitlines()[:3]
    assert head.index("unit") == first.index("tok/s") == second.index("ms")


def test_file(ledger: Ledger) -> None:
    """Every round is in it, beside medians and ratios, and it is JSON."""
    written = json.loads(json.dumps(ledger.to_json()))
    decode, load = written["rows"]
    assert decode["rounds"][OURS] == [1200.0, 1100.0, 900.0]
    assert decode["medians"][SERVER] == 1000.0
    assert decode["ratios"] == {SERVER: pytest.approx(1.1), BENCH: pytest.approx(0.55)}
    assert load["ratios"] == {}
    assert [budget["kept"] for budget in written["budgets"]] == [True, False]


def test_broken_budgets(ledger: Ledger) -> None:
    """The limit itself is kept."""
    assert [budget.name for budget in broken(ledger.budgets)] == ["idle"]
    assert Budget("edge", "", 1.0, 1.0).kept


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (-12.34, "-12.3"), (1e6, "1,000,000")],
)
def test_numbers(value: float, text: str) -> None:
    """As many digits as a reader can use."""
    assert number(value) == text
