"""Hours of use in minutes: nothing hangs, nothing is wrong, nothing is left over (see `soak.py`)."""

import os
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.integration.daemon import Daemon
from tests.load.census import MIB, Census
from tests.load.mix import Mix
from tests.load.soak import GROWTH, SETTINGS, Soak
from tests.load.visits import Outcome

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors and private memory")

STEADY = ("chat", "embed")
RUNNER_GROWTH = 12 * MIB


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """It ends well, and takes all its processes with it."""
    running = Daemon(tmp_path_factory.mktemp("soak"), SETTINGS)
    yield running
    children = psutil.Process(running.process.pid).children(recursive=True)
    assert running.stop() == 0
    _, left = psutil.wait_procs(children, timeout=60)
    assert not left


def soaked(daemon: Daemon, seed: int, *, warm_up: int, requests: int, seconds: float = float("inf")) -> Soak:
    """After the warm-up, and what may come afterwards, the daemon holds no more than before."""
    soak = Soak(daemon, seed)
    soak.rehearse()
    soak.run(warm_up)
    before = soak.settle()
    soak.run(requests, seconds)
    after = soak.settle()
    print(soak.summary(), f"before: {before}", f"after: {after}", sep="\n")
    soak.check()
    after.check(before, growth=GROWTH)
    return soak


@linux
@pytest.mark.timeout(400)
def test_a_crowd_gets_full_answers_or_clean_errors_and_leaves_nothing_behind(daemon: Daemon) -> None:
    """A few hundred requests: about half a minute."""
    soak = soaked(daemon, 1, warm_up=50, requests=120)
    outcomes = soak.outcomes()
    assert outcomes[Outcome.FULL] > 100
    assert outcomes[Outcome.LEFT] > 5
    assert len(soak.kills) > 4


@linux
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_five_minutes_of_a_crowd(daemon: Daemon) -> None:
    soak = soaked(daemon, 2, warm_up=200, requests=sys.maxsize, seconds=300)
    assert {Outcome.FULL, Outcome.LEFT, Outcome.BROKEN} <= set(soak.outcomes())


@linux
@pytest.mark.long
@pytest.mark.timeout(600)
def test_runners_that_stay_do_not_grow(daemon: Daemon) -> None:
    """Two models, and nobody makes them leave; clients do hang up."""
    soak = Soak(daemon, 3)
    soak.rehearse()
    mix = Mix(soak.wishes, STEADY, keep=True)
    soak.run(600, mix=mix, kill=False)
    before = Census.of_runners(daemon)
    soak.run(1800, mix=mix, kill=False)
    after = Census.of_runners(daemon)
    print(soak.summary(), *(f"{pid} {before[pid]}, {after[pid]}" for pid in before), sep="\n")
    soak.check()
    assert soak.share == 1
    assert set(before) == set(after)
    for pid, census in after.items():
        census.check(before[pid], growth=RUNNER_GROWTH)
