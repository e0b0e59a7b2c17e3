"""Ledger and table."""

import json

import pytest

from benchmarks.ledger import (
    BENCH,
    FREE,
    OLLAMA,
    OURS,
    SERVER,
    SERVER_LRU,
    Budget,
    Ledger,
    Limit,
    Row,
    broken,
    missed,
)
from benchmarks.table import number, render

DECODE = Row("small decode", "tok/s", more_is_better=True, limits=(Limit(1.2), Limit(0.5, BENCH), Limit(0.9, FREE)))
LOAD = Row("small load", "ms", more_is_better=False, limits=(Limit(0.8),))
ALONE = Row("small memory", "MB", more_is_better=False)


@pytest.fixture
def ledger() -> Ledger:
    """Rows with several peers, with one, with none; one budget kept and one not."""
    made = Ledger(budgets=[Budget("memory", "MB", 80.0, 90.0), Budget("idle", "%", 0.2, 0.1)], facts={"cores": 2})
    for ours, server in ((1200.0, 1000.0), (1100.0, 1000.0), (900.0, 1000.0)):
        made.note(DECODE, OURS, ours)
        made.note(DECODE, SERVER, server)
        made.note(DECODE, OLLAMA, 500.0)
        made.note(DECODE, BENCH, 2000.0)
    made.note(LOAD, OURS, 10.0)
    made.note(LOAD, SERVER, 20.0)
    made.note(LOAD, OLLAMA, 10.5)
    made.note(LOAD, SERVER_LRU, 1.0)
    made.note(ALONE, OURS, 12.5)
    return made


def test_table(ledger: Ledger) -> None:
    """A line a peer: medians, spreads, ratios, and each limit beside the peer against which it is held."""
    lines = [line.split() for line in render(ledger).splitlines()]
    assert lines[1][:6] == ["small", "decode", "↑", "tok/s", "1,100", "27"]
    assert lines[1][6:] == ["llama-server", "1,000", "0", "1.10", "≥", "1.20", "missed"]
    assert lines[2] == ["ollama", "500", "0", "2.20"]
    assert lines[3] == ["llama-bench", "2,000", "0", "0.55", "≥", "0.50", "kept"]
    assert lines[4] == ["small", "load", "↓", "ms", "10.0", "0", "llama-server", "20.0", "0", "0.50"]
    assert lines[5] == ["ollama", "10.5", "0", "0.95", "≤", "0.80", "missed"]
    assert lines[6] == ["llama-server,", "LRU", "1.00", "0", "10.00"]
    assert lines[7] == ["small", "memory", "↓", "MB", "12.5", "0", "–", "–", "–"]
    assert ["memory", "MB", "90.0", "80.0", "ok"] in lines
    assert ["idle", "%", "0.10", "0.20", "OVER"] in lines
    assert lines[-1] == ["cores:", "2"]


def test_what_could_not_be_measured_is_said(ledger: Ledger) -> None:
    """Also where nothing else is in the table."""
    ledger.failures.append("loads, round 1: no")
    assert "not measured: loads, round 1: no" in render(ledger).splitlines()
    assert render(Ledger(failures=["all"])) == "not measured: all"


def test_columns_stand_under_each_other(ledger: Ledger) -> None:
    """Units and peers begin where the head says so."""
    head, *rows = render(ledger).splitlines()[:5]
    assert head.index("unit") == rows[0].index("tok/s") == rows[3].index("ms")
    assert head.index("peer") == rows[0].index("llama-server") == rows[1].index("ollama")


def test_a_limit_is_held_against_the_better_of_the_rivals(ledger: Ledger) -> None:
    """Neither llama-bench nor a server with a setting of its own counts as one; no limit where its peer is missing."""
    verdicts = [(one.row.name, one.peer, one.kept) for row in ledger.figures for one in ledger.verdicts(row)]
    assert verdicts == [
        ("small decode", SERVER, False),
        ("small decode", BENCH, True),
        ("small load", OLLAMA, False),
    ]
    assert [(one.peer, one.limit.ratio) for one in missed(ledger)] == [(SERVER, 1.2), (OLLAMA, 0.8)]


def test_the_limit_itself_is_kept() -> None:
    """In both directions."""
    for row in (Row("a", "", more_is_better=True, limits=(Limit(2.0),)), Row("b", "", False, (Limit(2.0),))):
        ledger = Ledger()
        ledger.note(row, OURS, 2.0)
        ledger.note(row, SERVER, 1.0)
        assert [one.kept for one in ledger.verdicts(row)] == [True]


def test_file(ledger: Ledger) -> None:
    """Every round is in it, beside medians, ratios and limits, and it is JSON."""
    written = json.loads(json.dumps(ledger.to_json()))
    decode, load, alone = written["rows"]
    assert decode["rounds"][OURS] == [1200.0, 1100.0, 900.0]
    assert decode["medians"][SERVER] == 1000.0
    assert decode["ratios"] == {
        SERVER: pytest.approx(1.1),
        OLLAMA: pytest.approx(2.2),
        BENCH: pytest.approx(0.55),
    }
    assert load["limits"] == [{"against": OLLAMA, "limit": 0.8, "ratio": pytest.approx(10 / 10.5), "kept": False}]
    assert alone["ratios"] == {}
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
