"""What the tests of the command line share: a daemon of canned answers, and `cli(...)` to run commands against it."""

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from server.cli import main
from tests.unit.server.cli.daemon import Daemon, running

settings.register_profile("cli", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("cli")


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with running() as started:
        yield started


@pytest.fixture
def cli(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """`cli("show", "m", stdin=b"")`: exit code, standard output and error. Runs in an empty folder."""
    monkeypatch.setenv("OLLAMA_HOST", daemon.address)
    monkeypatch.setattr(sys, "argv", ["ollama"])
    monkeypatch.chdir(tmp_path)

    def run(*words: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = main(list(words))
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run
