"""Several processes change one store at the same time, and none ever sees half a model."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.crash import wholeness
from tests.crash.traffic import STEPS

ROOT = Path(__file__).parents[2]


def traffic(root: Path, processes: int, steps: int) -> Counter[str]:
    """How often each step succeeded and failed, in all processes together."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.crash.traffic", str(root), str(seed), str(steps)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(processes)
    ]
    ended = [(*process.communicate(), process.returncode) for process in running]
    counts: Counter[str] = Counter()
    for said, complaints, status in ended:
        assert status == 0, complaints
        counts.update(json.loads(said))
    print(dict(sorted(counts.items())))
    return counts


def check(root: Path, counts: Counter[str]) -> None:
    assert set(STEPS) <= set(counts)
    assert wholeness.damage(root) == []
    wholeness.age(root)
    wholeness.start(root)
    assert wholeness.damage(root) == []
    assert wholeness.leftovers(root) == []


def test_writers_and_readers_of_several_processes(tmp_path: Path) -> None:
    check(tmp_path, traffic(tmp_path, processes=2, steps=150))


@pytest.mark.long
def test_many_processes_for_longer(tmp_path: Path) -> None:
    check(tmp_path, traffic(tmp_path, processes=4, steps=1500))
