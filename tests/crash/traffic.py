"""One of several processes that work on the same models directory, as fast as they can.

    python -m tests.crash.traffic <directory> <seed> <steps>

Each step is drawn by lot: a model is made, copied, deleted, or all are looked at. The few names and contents make the
processes meet. What may happen to one of several is an error that says what was not there; anything else ends the
process with a traceback. Prints how often each step succeeded and failed.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from modelstore import files
from modelstore.create import CreateRequest, create
from modelstore.errors import BlobNotFound, CreateError, ModelNotFound
from modelstore.manifest import MAX_BYTES, Manifest
from modelstore.names import Name
from modelstore.progress import Progress
from modelstore.prune import prune
from modelstore.store import Store
from tests.unit.modelstore import tinygguf

NAMES = [Name.parse(text) for text in ("one", "one:other", "two/three", "four/five:six")]
WEIGHTS = [tinygguf.model(general__name=f"weights {number}") for number in range(2)]
SYSTEMS = ["Be brief.", "Be long.", "Be."]
STEPS = ("create", "copy", "delete", "look", "prune")
ODDS = (4, 2, 4, 3, 1)


class Worker:
    """One process's part."""

    def __init__(self, root: Path, seed: int) -> None:
        self.store = Store.open(root)
        self.dice = random.Random(seed)
        self.counts: Counter[str] = Counter()

    def work(self, steps: int) -> None:
        for step in self.dice.choices(STEPS, ODDS, k=steps):
            try:
                getattr(self, step)()
            except (ModelNotFound, BlobNotFound):
                self.counts[f"{step} failed"] += 1
            except CreateError as error:
                if "not found" not in error.message:
                    raise
                self.counts[f"{step} failed"] += 1
            else:
                self.counts[step] += 1

    def create(self) -> None:
        name = self.dice.choice(NAMES)
        weights = self.store.blobs.put(self.dice.choice(WEIGHTS))
        system = self.dice.choice(SYSTEMS)
        request = CreateRequest(model=str(name), files={"it.gguf": str(weights)}, system=system)
        create(self.store, request, self._ignore)

    def copy(self) -> None:
        source, destination = self.dice.sample(NAMES, 2)
        self.store.catalog.copy(source, destination)

    def delete(self) -> None:
        self.store.catalog.delete(self.dice.choice(NAMES))

    def look(self) -> None:
        """Whatever is listed is whole, as long as it is there."""
        for model in self.store.catalog.list():
            self._check(model.name)
            try:
                self.store.catalog.get(model.name)
            except ModelNotFound:
                pass

    def prune(self) -> None:
        prune(self.store, time.time())

    def _check(self, name: Name) -> None:
        path = self.store.layout.manifest(name)
        try:
            before = path.lstat()
            data = files.read_regular(path, MAX_BYTES)
            missing = [digest for digest in Manifest.parse(data).digests if not self.store.blobs.has(digest)]
            after = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return
        is_same = (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert not (missing and is_same), f"{name} lacks {missing}"

    def _ignore(self, _event: Progress) -> None:
        pass


def main(root: Path, seed: int, steps: int) -> None:
    worker = Worker(root, seed)

    def give_way(event: str, _arguments: tuple[Any, ...]) -> None:
        if event.startswith("llamad."):
            os.sched_yield()

    sys.addaudithook(give_way)
    worker.work(steps)
    print(json.dumps(worker.counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
