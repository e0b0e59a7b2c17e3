"""Contexts that compute embeddings side by side, and what may share a decode of theirs.

On the processor, texts are spread over the cores: an operation on a short text is too little to share, so each lane
computes other texts on one core. A single decode has all cores. Only models without a KV cache have several lanes.

A text gets the same vector, but for the last bit of a mean, whatever is computed beside it. That depends on the way the
engine takes for its attention (docs/adr/0005-embeddings.md), and so each text takes one that its own length decides:

    up to 19 tokens   flash attention in a decode of less than 64 rows, shared: each row looks at its own keys only,
                      one after the other
    20 to 63          alone, without flash attention, which is quicker from here on; shared, sums would depend on the
                      place of a text in the decode
    64 and more       alone, flash attention, which computes in tiles from 64 rows on
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from scheduler import frames
from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelLoadError

TILED: Final = 64
"""Rows of a decode from which the engine's flash attention computes in tiles on the processor."""
SHARING: Final = 19
"""The longest text that shares a decode where longer ones have a context without flash attention."""
OFFLOADED: Final = 512
"""Rows of a decode that texts share where a GPU computes: few rows leave it idle."""
LANE_ROWS: Final = 512
"""The longest text that a further lane takes."""
MOST_LANES: Final = 8
"""Each has memory of its own for what it computes."""

WorkT = TypeVar("WorkT")


class Sharing(NamedTuple):
    """What may share a decode."""

    longest: int
    """Tokens of the longest text that shares one."""
    rows: int
    """Most tokens of all that share one."""


class Lane(NamedTuple):
    """Contexts of which one computes at a time."""

    wide: Context
    narrow: Context | None = None
    """Without flash attention, for one text of less than `TILED` tokens that shares no decode."""

    def context_for(self, longest: int) -> Context:
        """The context for texts of which the longest has so many tokens."""
        return self.narrow if self.narrow is not None and SHARING < longest < TILED else self.wide

    def use_threads(self, count: int) -> None:
        """Compute with so many threads from now on."""
        self.wide.use_threads(count)
        if self.narrow is not None:
            self.narrow.use_threads(count)


class Lanes:
    """The lane of a model's first context, and further ones beside it."""

    def __init__(
        self,
        main: Lane,
        others: Sequence[Lane] = (),
        *,
        sharing: Sharing,
        threads: int = 1,
        buffers: Sequence[frames.Buffer] = (),
    ) -> None:
        self.longest: int = main.wide.physical_batch
        """The longest text."""
        self.rows: int = min((lane.wide.physical_batch for lane in others), default=self.longest)
        """The longest text that every lane takes."""
        self.sharing = sharing._replace(rows=min(sharing.rows, self.rows))
        self.buffers = buffers
        """Memory of what was made beside the first context."""
        self._main = main
        self._others = others
        self._threads = threads
        self._pool = ThreadPoolExecutor(len(others), "lane") if others else None

    @property
    def width(self) -> int:
        """How many decodes run at a time."""
        return 1 + len(self._others)

    def run(self, packs: Sequence[WorkT], work: Callable[[Lane, WorkT], None]) -> None:
        """Do the work for each pack on some lane; returns when all is done."""
        if self._pool is None or len(packs) < 2:
            self._main.use_threads(self._threads)
            for pack in packs:
                work(self._main, pack)
            return
        self._main.use_threads(1)
        waiting = deque(packs)
        helpers = [self._pool.submit(_drain, lane, waiting, work) for lane in self._others[: len(packs) - 1]]
        _drain(self._main, waiting, work)
        for helper in helpers:
            helper.result()


def _drain(lane: Lane, waiting: deque[WorkT], work: Callable[[Lane, WorkT], None]) -> None:
    while True:
        try:
            pack = waiting.popleft()
        except IndexError:
            return
        work(lane, pack)


def lanes_for(model: Model, context: Context, params: ContextParams, log: EngineLog) -> Lanes:
    """The lanes of an embedding model whose first context is `context`, made with `params`."""
    if log.offloaded[0]:
        return Lanes(Lane(context), sharing=Sharing(OFFLOADED, OFFLOADED), threads=params.threads)
    rows = 0 if params.flash_attention is False else TILED - 1
    if context.stores:
        return Lanes(Lane(context), sharing=Sharing(rows, rows), threads=params.threads)
    maker = _Maker(model, params)
    try:
        main = Lane(context, maker.narrow(params.threads))
        others = [Lane(maker.wide(), maker.narrow(1)) for _ in range(min(params.threads, MOST_LANES) - 1)]
    except ModelLoadError:  # too little memory for more than the first context
        return Lanes(Lane(context), sharing=Sharing(rows, rows), threads=params.threads)
    finally:
        log.listen()
    longest = rows if main.narrow is None else SHARING
    return Lanes(main, others, sharing=Sharing(longest, rows), threads=params.threads, buffers=maker.buffers)


class _Maker:
    """Makes the contexts beside the first one, and adds up what they take."""

    def __init__(self, model: Model, params: ContextParams) -> None:
        self._model = model
        self._params = params
        self.buffers: list[frames.Buffer] = []

    def wide(self) -> Context:
        rows = min(LANE_ROWS // self._params.sequences * self._params.sequences, self._params.batch)
        return self._make(replace(self._params, cells=rows, batch=rows, threads=1))

    def narrow(self, threads: int) -> Context | None:
        """None where it makes no sense."""
        params = self._params
        if params.flash_attention is not None or params.batch < TILED:
            return None
        return self._make(
            replace(params, cells=TILED, sequences=1, batch=TILED, threads=threads, flash_attention=False)
        )

    def _make(self, params: ContextParams) -> Context:
        log = EngineLog()  # a second context's sizes would take the place of the first one's
        context = Context(self._model, params, log)
        self.buffers += log.buffers()
        return context
