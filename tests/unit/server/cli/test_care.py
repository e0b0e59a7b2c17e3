"""`verify` and `prune`."""

import json
import sys

import pytest

from server.cli.program import ROOT, help_text
from tests.unit.server.cli.conftest import Cli
from tests.unit.server.cli.daemon import Answer, Daemon

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def streams(daemon: Daemon, path: str, *events: object) -> None:
    body = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    daemon.replies["GET", path] = Answer(200, body)


def test_a_sound_store(cli: Cli, daemon: Daemon) -> None:
    """One line, and what is fine is not listed."""
    streams(
        daemon, "/api/verify",
        {"status": "verifying", "digest": A, "total": 10, "completed": 5},
        {"status": "ok", "digest": A, "size": 4_000_000, "models": ["m:latest"]},
        {"status": "success", "size": 4_000_000, "blobs": 1, "damaged": 0, "unused": 0},
    )  # fmt: skip
    outcome = cli("verify")
    assert (outcome.code, outcome.out, outcome.err) == (0, "checked 1 blob, 4 MB: none damaged\n", "")


def test_damage(cli: Cli, daemon: Daemon) -> None:
    """A table of what is wrong, what to do about it, and exit status 1."""
    streams(
        daemon, "/api/verify",
        {"status": "invalid", "manifest": "h/n/bad/latest", "models": ["h/n/bad:latest"], "reason": "no JSON"},
        {"status": "corrupt", "digest": A, "size": 5, "models": ["m:latest", "n:latest"], "found": B},
        {"status": "missing", "digest": B, "size": 2000, "models": ["n:latest"]},
        {"status": "unused", "digest": B, "size": 1},
        {"status": "damaged", "size": 6, "models": ["m:latest", "n:latest"], "blobs": 3, "damaged": 3, "unused": 1},
    )  # fmt: skip
    outcome = cli("verify")
    assert outcome.code == 1
    assert [line.rstrip() for line in outcome.out.splitlines()] == [
        "STATUS     WHAT                       SIZE    MODELS",
        "invalid    manifest h/n/bad/latest    -       h/n/bad:latest (no JSON)",
        "corrupt    blob aaaaaaaaaaaa          5 B     m:latest, n:latest",
        "missing    blob bbbbbbbbbbbb          2 KB    n:latest",
        "unused     blob bbbbbbbbbbbb          1 B     -",
        "",
        "checked 3 blobs, 6 B: 3 damaged",
        "1 is needed by no model; 'ollama prune' removes what has not changed for an hour",
        "to mend m:latest: 'ollama pull m:latest', or create it again",
        "to mend n:latest: 'ollama pull n:latest', or create it again",
    ]


def test_one_model(cli: Cli, daemon: Daemon) -> None:
    """Its name goes into the query."""
    streams(daemon, "/api/verify?model=hf.co%2Fa%2Fb%3Aq", {"status": "success", "blobs": 2, "size": 1})
    assert cli("verify", "hf.co/a/b:q").out == "checked 2 blobs, 1 B: none damaged\n"


def test_no_such_model(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/verify?model=m", {"error": "model 'm:latest' not found"}, method="GET", status=404)
    outcome = cli("verify", "m")
    assert (outcome.code, outcome.err) == (1, "Error: 404 Not Found: model 'm:latest' not found\n")


def test_a_stream_that_breaks_off(cli: Cli, daemon: Daemon) -> None:
    """What was not said to be sound is not."""
    streams(daemon, "/api/verify", {"status": "ok", "digest": A, "size": 1})
    outcome = cli("verify")
    assert (outcome.code, outcome.err) == (1, "Error: the daemon ended before everything was checked\n")


@pytest.mark.parametrize(("flags", "dry_run", "verb"), [([], False, "freed"), (["--dry-run"], True, "would free")])
def test_prune(cli: Cli, daemon: Daemon, flags: list[str], dry_run: bool, verb: str) -> None:
    removed = [{"digest": A, "size": 2_000_000}, {"file": ".llamad/partials/junk", "size": 1}]
    daemon.says("/api/prune", {"removed": removed, "freed": 2_000_000, "dry_run": dry_run})
    outcome = cli("prune", *flags)
    assert [line.rstrip() for line in outcome.out.splitlines()] == [
        "WHAT                     SIZE",
        "blob aaaaaaaaaaaa        2 MB",
        ".llamad/partials/junk    1 B",
        "",
        f"{verb} 2 MB",
    ]
    assert daemon.sent("/api/prune") == [{"dry_run": dry_run}]


def test_nothing_to_prune(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/prune", {"removed": [], "freed": 0, "dry_run": False})
    assert cli("prune").out == "freed 0 B\n"


def test_arguments(cli: Cli) -> None:
    assert cli("verify", "a", "b").err == "Error: accepts at most 1 arg(s), received 2\n"
    assert cli("prune", "a").err == "Error: accepts 0 arg(s), received 1\n"


def test_only_our_own_name_speaks_of_them(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the reference's name, help and suggestions are its own; the commands work all the same."""
    assert "verify" not in help_text("ollama", ROOT)
    assert "  verify      Check stored models for damage\n" in help_text("llamad", ROOT)
    assert "Did you mean" not in cli("verifi").err
    monkeypatch.setattr(sys, "argv", ["llamad"])
    assert "verify" in cli("verifi").err
