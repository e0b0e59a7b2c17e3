"""Kills a process in the middle of an operation on a store, again and again, and looks at what is left.

    python -m tests.crash.killing <operation> <kills> <directory>

Prints one JSON object: `kills`, how many at each point of `modelstore.faults`, and `found`, all that was wrong. The
process that is killed is a fork of this one: everything is imported already, and no threads are there to be lost. In
it an audit hook counts the points that are passed, and at the chosen one sends SIGKILL to itself.
"""

import ctypes
import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

from tests.crash import wholeness
from tests.crash.operations import OPERATIONS, STATES, Operation

PREFIX = "llamad."
_FAILED = 3
_PR_SET_CHILD_SUBREAPER = 36


def be_heir() -> None:
    """Become the parent of all processes whose own parent dies. Linux has that alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fork(work: Callable[[], None]) -> int:
    """Do it in a child; how that ended, as `os.waitstatus_to_exitcode` has it."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        with suppress(ChildProcessError):  # those that it has left behind, which see that it is gone, and end
            while True:
                os.wait()
        return os.waitstatus_to_exitcode(status)
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(_FAILED)
    os._exit(0)


def traced(work: Callable[[], None], to: Path) -> None:
    """Do it and write down the points that were passed, in their order."""
    points: list[str] = []

    def note(event: str, _arguments: tuple[Any, ...]) -> None:
        if event.startswith(PREFIX):
            points.append(event)

    sys.addaudithook(note)
    work()
    to.write_text(json.dumps(points))


def killed(work: Callable[[], None], position: int) -> None:
    """Do it until so many points have been passed."""
    passed = 0

    def count(event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal passed
        if event.startswith(PREFIX):
            if passed == position:
                os.kill(os.getpid(), signal.SIGKILL)
            passed += 1

    sys.addaudithook(count)
    work()


@dataclass
class State:
    """A store before an operation, and what it is to be afterwards."""

    operation: Operation
    number: int
    before: Path
    scratch: Path
    points: list[str] = field(default_factory=list[str])
    old: dict[str, bytes] = field(default_factory=dict[str, bytes])
    new: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def prepare(self) -> None:
        """Make the store, and do the operation once undisturbed."""
        self.operation.prepare(self.before, self.number)
        self.old = wholeness.manifests(self.before)
        self.reset()
        trace = self.scratch.with_suffix(".json")
        assert fork(lambda: traced(self.run, trace)) == 0, "the operation failed"
        self.points = json.loads(trace.read_text())
        self.new = wholeness.manifests(self.scratch)
        assert wholeness.damage(self.scratch) == []

    def reset(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.copytree(self.before, self.scratch)

    def run(self) -> None:
        self.operation.run(self.scratch, self.number)

    def kill(self, position: int, again: bool) -> list[str]:
        """One kill; `again`: then the operation is done once more. All that is wrong afterwards."""
        self.reset()
        status = fork(lambda: killed(self.run, position))
        if status != -signal.SIGKILL:
            return [f"the process was not killed but ended with {status}"]
        found = wholeness.damage(self.scratch) + self._unexpected()
        if again and (self.operation.repeatable or wholeness.manifests(self.scratch) == self.old):
            if fork(self.run):
                found.append("the operation cannot be done again")
            elif wholeness.manifests(self.scratch) != self.new:
                found.append("done again, the operation has another result")
        return found + self._after_a_start()

    def _unexpected(self) -> list[str]:
        """Models that are neither as before nor as after."""
        now = wholeness.manifests(self.scratch)
        names = {*self.old, *self.new, *now}
        odd = [name for name in names if now.get(name) not in (self.old.get(name), self.new.get(name))]
        return [f"{name} is neither old nor new" for name in odd]

    def _after_a_start(self) -> list[str]:
        models = wholeness.manifests(self.scratch)
        wholeness.age(self.scratch)
        wholeness.start(self.scratch)
        found = wholeness.damage(self.scratch)
        if wholeness.manifests(self.scratch) != models:
            found.append("tidying up changed the models")
        return found + [f"{path} is left over" for path in wholeness.leftovers(self.scratch)]


def chosen(states: list[State], kills: int) -> list[tuple[State, int]]:
    """Where to kill: at every point in turn, each time at another one of its occurrences."""
    places: dict[str, list[tuple[State, int]]] = {}
    for state in states:
        for position, point in enumerate(state.points):
            places.setdefault(point, []).append((state, position))
    dice = random.Random(0)
    for occurrences in places.values():
        dice.shuffle(occurrences)
    turns = zip(*(cycle(occurrences) for occurrences in places.values()), strict=True)
    return list(islice(chain.from_iterable(turns), max(kills, len(places))))


def main(operation: str, kills: int, directory: Path) -> None:
    """Kill so often, and at least once at every point; print what came of it."""
    be_heir()
    states = [
        State(OPERATIONS[operation], number, directory / f"before{number}", directory / f"store{number}")
        for number in range(STATES)
    ]
    for state in states:
        state.prepare()
    counts: Counter[str] = Counter()
    found: list[str] = []
    dice = random.Random(1)
    for state, position in chosen(states, kills):
        point = state.points[position]
        counts[point] += 1
        wrong = state.kill(position, again=dice.random() < 0.5)
        found += [f"{operation} {state.number}, step {position}, {point}: {what}" for what in wrong]
    print(json.dumps({"kills": counts, "found": found}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
