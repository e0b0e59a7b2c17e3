"""`python -m scheduler.runner`: load one model, then serve frames until stdin ends.

The frames leave through a private copy of stdout; descriptor 1 itself is pointed at stderr, so that whatever native
code prints cannot land between them.
"""

import logging
import os
import sys
from queue import SimpleQueue
from typing import Never

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy must not start threads of its own beside the engine's

from scheduler.runner import loading, parent
from scheduler.runner.batch import Batcher, EngineFailure
from scheduler.runner.cache.archive import Archive
from scheduler.runner.cache.slots import Slots
from scheduler.runner.embedding.embed import EmbedJob
from scheduler.runner.embedding.embedder import ChatModelEmbedder, Embedder, PackedEmbedder
from scheduler.runner.intake import Intake, Work
from scheduler.runner.loaded import LoadedModel
from scheduler.runner.outbox import Outbox, Pipe
from scheduler.runner.sequence import Job


def main() -> int:
    """The process. Exit status 0 after stdin ended, 1 when the model cannot be loaded or the engine broke."""
    parent.follow()
    pipe = Pipe(os.dup(1))
    os.dup2(2, 1)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    intake = Intake(0, pipe.write)
    intake.start()
    loading.prepare()
    model = loading.load(intake.load(), pipe.write)
    if model is None:
        return 1
    intake.serve(model)
    pipe.write(model.describe())
    try:
        _serve(model, intake.inbox, pipe)
    except EngineFailure as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1


def _serve(model: LoadedModel, inbox: SimpleQueue[Work], pipe: Pipe) -> Never:
    slots = Slots(model.slots, model.context, archive=Archive(model.archive_bytes))
    outbox = Outbox(pipe.write)
    batcher = Batcher(model, slots, outbox, speculator=model.speculator)
    embedder: Embedder
    if model.lanes is not None:
        embedder = PackedEmbedder(model.lanes, model.slots, outbox.send)
    else:
        embedder = ChatModelEmbedder(model.context, slots, outbox.send, has_room=batcher.has_room)
    while True:
        idle = not (batcher.busy or embedder.busy)
        if idle:
            slots.put_away_ahead(lambda: not inbox.empty())
        while idle or not inbox.empty():
            _dispatch(inbox.get(), batcher, embedder)
            idle = False
        if embedder.busy:
            embedder.step()
        batcher.step()


def _dispatch(work: Work, batcher: Batcher, embedder: Embedder) -> None:
    if isinstance(work, Job):
        batcher.submit(work)
    elif isinstance(work, EmbedJob):
        embedder.submit(work)
    else:
        batcher.cancel(work.id)
        embedder.cancel(work.id)


if __name__ == "__main__":
    os._exit(main())  # the intake thread may be inside a read: leave without waiting for it
