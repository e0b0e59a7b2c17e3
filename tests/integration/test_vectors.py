# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (recorded JSON has any shape)
"""Recorded requests of the reference daemon, and its answers."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.daemon import ROOT, Daemon
from tests.replay import kit
from tests.replay.__main__ import attempt, checks

KNOWN: dict[str, str] = json.loads((kit.HERE / "known.json").read_text())
"""Vectors that differ, with the reason."""
QUICK = ["blobs", "copy-delete", "errors", "embed", "options"]
REST = ["show-tags-ps", "generate", "chat", "create", "tools", "thinking", "format", "render"]
COMMANDS = ["cli", "modelfile"]


@pytest.fixture(scope="module")
def server(daemon: Daemon) -> Iterator[Any]:
    reference = kit.Server(daemon.base, kit.load("models"))
    reference.setup()
    yield reference
    reference.http.close()


def differing(server: Any, area: str, cli: str | None) -> dict[str, list[str]]:
    return {vector["name"]: lines for vector, check in checks(area, server, cli) if (lines := attempt(check))}


def compare(server: Any, area: str, cli: str | None = None) -> None:
    found = differing(server, area, cli)
    expected = {name for name in KNOWN if name.startswith(f"{area}/")}
    unknown = {name: lines for name, lines in found.items() if name not in expected}
    assert not unknown, json.dumps(unknown, indent=1, ensure_ascii=False)
    assert not expected - set(found), "these pass now: take them out of known.json"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("area", QUICK)
def test_area(server: Any, area: str) -> None:
    compare(server, area)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("area", REST)
def test_long_area(server: Any, area: str) -> None:
    compare(server, area)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("area", COMMANDS)
def test_command_line(server: Any, area: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the commands print, their exit status, and the requests they send."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    compare(server, area, f"{sys.executable} -m server")
