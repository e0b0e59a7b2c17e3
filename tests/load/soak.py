"""Random requests at once over more models than may be loaded, by clients that hang up, on runners that are killed.

    python -m tests.load.soak <seconds> <seed>

runs it by hand and prints how it went. The order of things:

    rehearse   each wish by itself: what is the right answer (`wishes.py`), and is it certain?
    run        some clients at once, each with dice of its own (`mix.py`, `visits.py`); runners are killed in between
    settle     quiet again: each model still answers, and what is left is counted (`census.py`)

Work is counted in requests. Nothing is judged by how long it takes; only who hears nothing at all for a very long time
is said to be stuck, and that ends the test.
"""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from tests.integration.daemon import Daemon
from tests.load.census import MIB, Census, until
from tests.load.mix import Mix
from tests.load.visits import Call, Client, Outcome, Visit
from tests.load.wishes import CERTAIN, LOADED, Said, Wish, certainty, install, wishes

CLIENTS: Final = 8
LIMIT: Final = 2
SETTINGS: Final = {
    "OLLAMA_MAX_LOADED_MODELS": str(LIMIT),
    "OLLAMA_GO_TEMPLATE": "1",
    "LLAMAD_PREFIX_MEMORY": str(8 * MIB),  # is soon full: what grows after that is not wanted
}
SHARE: Final = 0.95
GROWTH: Final = 12 * MIB
"""Of the daemon's private memory between two quiet moments; 2000 requests were seen to take a tenth of it."""
_BETWEEN_KILLS: Final = (8, 24)
"""Requests."""
_PAUSE: Final = 0.5
"""The most seconds between a request and the kill that it gives the sign for, so that any moment may be hit."""


@dataclass
class Kill:
    """A runner that was killed; its death may hurt requests until `ended`, when the daemon has buried it."""

    pid: int
    begun: float
    ended: float

    def may_hurt(self, visit: Visit) -> bool:
        return visit.begun <= self.ended and self.begun <= visit.ended


class Soak:
    """A daemon, what is asked of it, and all that happened."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self.daemon = daemon
        self.seed = seed
        self.history: list[Visit] = []
        self.kills: list[Kill] = []
        self._zero = time.monotonic()
        self._expected: dict[str, Said] = {}
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._begun = 0
        install(daemon)
        self.wishes = sorted(wishes(daemon), key=lambda wish: wish.model)
        self._all = Mix(self.wishes)

    # -- alone --------------------------------------------------------------------------------------------------------

    def rehearse(self) -> None:
        """Learn the right answers. Raises `AssertionError` for one that is not certain, or another one in a stream."""
        with closing(Client(self.daemon.address, self._over)) as alone:
            for wish in self.wishes:
                if not wish.is_free:
                    answer = self.daemon.http.request("POST" if wish.body else "GET", wish.path, json=_surely(wish))
                    self._expected[wish.name] = Said.of(wish, answer.status_code, answer.json())
                    sure = certainty(answer.json())
                    assert sure > CERTAIN, f"{wish.name}: the second token is only {sure} behind"
                self._ask(alone, Visit(0, 0, Call(wish)))
        assert all(visit.outcome is Outcome.FULL for visit in self.history), self.report()

    def settle(self) -> Census:
        """Each model answers as rehearsed, what is shown is what runs, and all models leave; what is there then?"""
        asked = [Visit(0, 0, Call(self._all.of_model[model][0])) for model in LOADED]
        with closing(Client(self.daemon.address, self._over)) as alone:
            for visit in asked:
                self._ask(alone, visit)
        assert all(visit.outcome is Outcome.FULL for visit in asked), self.report()
        rows = self._shown()
        assert 0 < len(rows) <= LIMIT, rows
        until(lambda: len(self.daemon.runners()) in (len(rows), len(rows) + 1), f"{len(rows)} runners, or one more")
        for row in rows:
            self.daemon.http.post("/api/generate", json={"model": row["name"], "keep_alive": 0})
        census = Census.of(self.daemon)
        assert self._shown() == []
        return census

    def _shown(self) -> list[dict[str, Any]]:
        return self.daemon.http.get("/api/ps").json()["models"]

    # -- all at once --------------------------------------------------------------------------------------------------

    def run(self, requests: int, seconds: float = float("inf"), *, mix: Mix | None = None, kill: bool = True) -> None:
        """Until so many requests were made, or so much time is over. Raises `AssertionError` if one is stuck."""
        deadline = time.monotonic() + seconds
        numbers = self._numbers(self._begun + requests, deadline)
        clients = [
            threading.Thread(target=self._serve, args=(name, numbers, mix or self._all))
            for name in range(1, CLIENTS + 1)
        ]
        done = threading.Event()
        killer = threading.Thread(target=self._kill, args=(done, kill))
        for thread in (killer, *clients):
            thread.start()
        for thread in clients:
            thread.join()
        done.set()
        killer.join()
        assert not self._over.is_set(), self.report()

    def _numbers(self, last: int, deadline: float) -> Iterator[int]:
        while not self._over.is_set() and time.monotonic() < deadline and self._begun < last:
            self._begun += 1
            yield self._begun

    def _serve(self, name: int, numbers: Iterator[int], mix: Mix) -> None:
        favourite = ""
        with closing(Client(self.daemon.address, self._over)) as client:
            while number := self._next(numbers):
                dice = random.Random(f"{self.seed} {number}")
                favourite = mix.favourite(dice, favourite)
                self._ask(client, Visit(number, name, mix.draw(dice, favourite)))
                if dice.random() < 0.3:
                    client.close()

    def _next(self, numbers: Iterator[int]) -> int:
        """0 for no more."""
        with self._lock:
            return next(numbers, 0)

    def _ask(self, client: Client, visit: Visit) -> None:
        client.visit(visit, self._expected.get(visit.call.wish.name))
        with self._lock:
            self.history.append(visit)
        if visit.outcome is Outcome.STUCK:
            self._over.set()

    def _kill(self, done: threading.Event, wanted: bool) -> None:
        """End runners at random moments, whatever they do: serve, load, leave, or wait in reserve."""
        dice = random.Random(f"{self.seed} kills")
        due = self._begun
        while wanted and not done.wait(dice.random() * _PAUSE):
            pids = self.daemon.runners()
            if self._begun < due or not pids:
                continue
            due = self._begun + dice.randint(*_BETWEEN_KILLS)
            kill = Kill(dice.choice(pids), time.monotonic(), float("inf"))
            self.kills.append(kill)
            _end(kill.pid)
            kill.ended = time.monotonic()

    # -- how it went --------------------------------------------------------------------------------------------------

    def was_hit(self, visit: Visit) -> bool:
        """Whether a kill is the reason why it has no answer."""
        return visit.outcome is Outcome.BROKEN and any(kill.may_hurt(visit) for kill in self.kills)

    @property
    def share(self) -> float:
        """Full and correct answers among requests that were neither hit by a kill nor hung up."""
        fair = [one for one in self.history if one.outcome is not Outcome.LEFT and not self.was_hit(one)]
        return sum(one.outcome is Outcome.FULL for one in fair) / len(fair)

    def outcomes(self) -> Counter[Outcome]:
        return Counter(one.outcome for one in self.history if one.outcome)

    def check(self) -> None:
        """Every request has ended in a full answer or a clean error, and the daemon has met nothing unforeseen."""
        bad = (Outcome.WRONG, Outcome.TORN, Outcome.STUCK)
        complaints = [one.story(self._zero) for one in self.history if one.outcome in bad]
        complaints += [line for line in list(self.daemon.log) if "Traceback" in line]
        assert not complaints, "\n".join([*complaints, self.report()])
        assert self.share >= SHARE, self.report()

    def report(self) -> str:
        """Everything, for whoever has to find the reason."""
        told = [(one.begun, one.story(self._zero)) for one in self.history]
        for kill in self.kills:
            moments = f"{kill.begun - self._zero:.3f}..{kill.ended - self._zero:.3f}"
            told.append((kill.begun, f"killed {kill.pid}@{moments}"))
        stories = [story for _, story in sorted(told)]
        return "\n".join([*stories, *map(str.rstrip, list(self.daemon.log)[-200:]), self.summary()])

    def summary(self) -> str:
        hit = sum(map(self.was_hit, self.history))
        counts = ", ".join(f"{count} {outcome.value}" for outcome, count in self.outcomes().most_common())
        return f"seed {self.seed}: {counts}; {len(self.kills)} kills, {hit} hit by them; share {self.share:.3f}"


def _surely(wish: Wish) -> dict[str, Any] | None:
    """The body of a wish that asks for a whole answer, and how sure the model is of it."""
    if not wish.body:
        return None
    more: dict[str, Any] = {"stream": False} if wish.may_stream else {}
    if wish.may_vary and wish.kind == "text":
        more |= {"logprobs": True, "top_logprobs": 2}
    return {**wish.body, **more}


def _end(pid: int) -> None:
    """Kill a process, and wait until its parent has noticed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    until(lambda: not psutil.pid_exists(pid), f"process {pid} is buried")


def main(seconds: float, seed: int) -> None:
    with TemporaryDirectory() as home:
        daemon = Daemon(Path(home), SETTINGS)
        try:
            soak = Soak(daemon, seed)
            soak.rehearse()
            soak.run(100)
            before, asked = soak.settle(), len(soak.history)
            soak.run(sys.maxsize, seconds)
            print(soak.report())
            print(f"{before}, and after {len(soak.history) - asked} more: {soak.settle()}")
            soak.check()
        finally:
            print("exit status", daemon.stop())


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
