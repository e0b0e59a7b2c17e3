"""Whenever the process is killed: each model is as before or as after, and the next start leaves nothing over."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from modelstore.faults import POINTS
from tests.crash.operations import OPERATIONS

ROOT = Path(__file__).parents[2]
KILLS = 20
MANY = 200
SLOW = "quantize-by-engine"
BEGIN = {"llamad.lock.taken"}
"""Passed by everything that changes a model."""
BLOB = {f"llamad.blob.{step}" for step in ("created", "written", "synced", "renamed", "placed", "touched")}
FILE = {f"llamad.file.{step}" for step in ("created", "written", "synced", "renamed", "placed")}
WRITTEN = BEGIN | BLOB | FILE | {"llamad.manifest.checked", "llamad.directory.made"}
QUANTIZED = {f"llamad.quantize.{step}" for step in ("started", "finished", "hashed", "synced", "placed")}
PASSED = {
    "upload": BLOB,
    "import": BLOB - {"llamad.blob.created", "llamad.blob.written"},  # a clone is there at once
    "create": WRITTEN | {"llamad.blob.removed"},
    "quantize": WRITTEN | QUANTIZED,
    "quantize-by-engine": WRITTEN | QUANTIZED,
    "copy": BEGIN | FILE | {"llamad.directory.made"},
    "delete": BEGIN | {"llamad.file.removed", "llamad.directories.removed", "llamad.blob.removed"},
    "pull": WRITTEN,
}
"""The points that an operation has to pass."""


def kill(operation: str, kills: int, directory: Path) -> Counter[str]:
    """How often it was killed where, after all of that was found to be harmless."""
    command = [sys.executable, "-m", "tests.crash.killing", operation, str(kills), str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    counts = Counter[str](outcome["kills"])
    print(f"{operation}: {counts.total()} kills")
    for point, count in sorted(counts.items()):
        print(f"  {count:4} at {point}: {POINTS[point]}")
    assert outcome["found"] == []
    assert PASSED[operation] <= set(counts)
    assert counts.total() >= kills
    return counts


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation != SLOW])
def test_killed_at_every_point(tmp_path: Path, operation: str) -> None:
    kill(operation, KILLS, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_very_often(tmp_path: Path, operation: str) -> None:
    kill(operation, MANY, tmp_path)


def test_the_list_of_points_is_that_of_the_code() -> None:
    """None is listed that is not there, and none is left out by all operations."""
    sources = [path.read_text() for path in (ROOT / "modelstore").rglob("*.py") if path.name != "faults.py"]
    named = {point for source in sources for point in re.findall(r'sys\.audit\("([^"]+)"\)', source)}
    assert named == set(POINTS)
    assert set().union(*PASSED.values()) == set(POINTS)
