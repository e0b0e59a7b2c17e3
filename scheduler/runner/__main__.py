"""`python -m scheduler.runner`: load one model, then serve frames until stdin ends.

The frames leave through a private copy of stdout; descriptor 1 itself is pointed at stderr, so that whatever native
code prints cannot land between them.
"""

import gc
import logging
import os
import sys
from queue import SimpleQueue
from typing import Never

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy must not start threads of its own beside the engine's

from scheduler import frames
from scheduler.runner.batch import Batcher, EngineFailure
from scheduler.runner.embed import ChatModelEmbedder, Embedder, EmbedJob, PackedEmbedder
from scheduler.runner.engine import ModelLoadError
from scheduler.runner.intake import Intake, Work
from scheduler.runner.loaded import LoadedModel
from scheduler.runner.outbox import Outbox, Pipe
from scheduler.runner.prefix import Slots
from scheduler.runner.sequence import Job


def main() -> int:
    """The process. Exit status 0 after stdin ended, 1 when the model cannot be loaded or the engine broke."""
    pipe = Pipe(os.dup(1))
    os.dup2(2, 1)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    intake = Intake(0, pipe.write)
    intake.start()
    load = intake.load()
    try:
        model = LoadedModel(load, _Progress(pipe))
    except ModelLoadError as error:
        pipe.write(frames.LoadFailed(_without_folders(str(error), load), error.unsupported))
        return 1
    gc.collect()
    gc.freeze()
    intake.serve(model)
    pipe.write(model.describe())
    try:
        _serve(model, intake.inbox, pipe)
    except EngineFailure as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1


def _without_folders(message: str, load: frames.Load) -> str:
    """The engine names files by their path; clients must not learn where the store lies."""
    for path in [*load.weights, *load.projectors, *(path for path, _ in load.adapters)]:
        message = message.replace(path, os.path.basename(path))
    return message


class _Progress:
    """Reports the fraction loaded, in steps of a hundredth."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._last = -1

    def __call__(self, fraction: float) -> None:
        if (step := int(fraction * 100)) != self._last:
            self._last = step
            self._pipe.write(frames.Progress(fraction))


def _serve(model: LoadedModel, inbox: SimpleQueue[Work], pipe: Pipe) -> Never:
    slots = Slots(model.slots)
    outbox = Outbox(pipe.write)
    batcher = Batcher(model, slots, outbox)
    embedder: Embedder
    if model.embedding:
        embedder = PackedEmbedder(model.context, model.slots, outbox.send, raw=model.raw_embeddings)
    else:
        embedder = ChatModelEmbedder(model.context, slots, outbox.send)
    while True:
        idle = not (batcher.busy or embedder.busy)
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
