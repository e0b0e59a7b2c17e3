"""An engine whose next token is a pure function of the sequence so far, with the memory of any kind of model.

It refuses what the real one would abort on, and fails where the real one would silently compute something wrong: when a
window or a recurrent state is not that of the tokens it is said to belong to.
"""

import copy
import pickle
import random
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.batch import Batcher
from scheduler.runner.cache.archive import Archive
from scheduler.runner.cache.memory import MemoryKind, State
from scheduler.runner.cache.rates import Rates
from scheduler.runner.cache.slots import Slots
from scheduler.runner.limits import fit_prompt
from scheduler.runner.outbox import Outbox
from scheduler.runner.sequence import Job, Matcher, Media, Speculator

END = 15
VOCABULARY = 16
WINDOW = 6


class Stored:
    """What one sequence has: tokens by position, the first position of its window, the tokens its state has seen."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.first = 0
        self.seen: list[int] = []


class FakeContext:
    """Implements `batch.EngineContext`."""

    def __init__(
        self,
        *,
        sequences: int,
        batch_size: int,
        can_shift: bool = True,
        kind: MemoryKind = MemoryKind.WHOLE,
        capacity: int = 1 << 20,
    ) -> None:
        self.tokens: NDArray[np.int32] = np.zeros(batch_size, np.int32)
        self.positions: NDArray[np.int32] = np.zeros(batch_size, np.int32)
        self.sequences: NDArray[np.int32] = np.zeros(batch_size, np.int32)
        self.outputs: NDArray[np.int8] = np.zeros(batch_size, np.int8)
        self.saves = 0
        self.batch_size = batch_size
        self.can_shift = self.moves_in_place = can_shift
        self.kind = kind
        self.window = WINDOW if kind is MemoryKind.WINDOW else 0
        self.capacity = capacity
        self.stored = [Stored() for _ in range(sequences)]
        self.rows: dict[int, list[int]] = {}
        self.results: list[int] = []
        """Codes that the next decodes return instead of success."""
        self.batches: list[list[int]] = []
        """Sequence ids of every successful batch."""
        self.broken: set[int] = set()
        """Sequences whose logits are no numbers."""
        self.moves = 0
        self.movable = True

    # -- computing

    def decode(self, count: int) -> int:
        assert 0 < count <= self.batch_size
        if self.results and (code := self.results.pop(0)):
            return code
        order: list[int] = self.sequences[:count].tolist()
        assert order == sorted(order), "rows out of order fall apart into one physical batch a sequence"
        self.batches.append(order)
        self.rows = {}
        for row in range(count):
            self.put(order[row], int(self.tokens[row]), int(self.positions[row]))
            if self.outputs[row]:
                self.rows[row] = list(self.stored[order[row]].tokens)
        return 0

    def put(self, sequence: int, token: int, position: int) -> None:
        held = self.stored[sequence]
        assert position == len(held.tokens), "positions must continue"
        assert position < self.capacity, "more tokens than the sequence has room for"
        if self.kind is MemoryKind.WINDOW:
            assert held.first <= max(0, position + 1 - WINDOW), "the window is not there any more"
            held.first = max(held.first, position + 1 - WINDOW)
        if self.kind is MemoryKind.STATE:
            assert held.seen == held.tokens, "the state is that of other tokens"
        held.tokens.append(token)
        held.seen = list(held.tokens)

    def next_token(self, row: int, noise: float) -> int:
        history = self.rows[max(self.rows) if row == -1 else row]
        return (zlib.crc32(repr(history).encode()) ^ int(noise * (1 << 20))) % VOCABULARY

    def logit(self, row: int, token: int) -> float:
        return float("nan") if self.broken else 0.0

    def logits(self, row: int) -> NDArray[np.float32]:
        wanted = self.next_token(row, 0.0)
        return np.array([float(token == wanted) for token in range(VOCABULARY)], np.float32)

    # -- memory

    def remove(self, sequence: int, start: int, end: int = -1) -> bool:
        held = self.stored[sequence]
        if start == 0 and end == -1:
            self.stored[sequence] = Stored()
            return True
        if self.kind is MemoryKind.STATE:
            if end != -1 or len(held.seen) > start:
                return False
            del held.tokens[start:]
            return True
        if self.kind is MemoryKind.WINDOW:
            assert end == -1 or self.can_shift
        del held.tokens[start : None if end == -1 else end]
        return True

    def shift(self, sequence: int, start: int, end: int, delta: int) -> None:
        assert self.can_shift
        assert len(self.stored[sequence].tokens) == end + delta

    def first_position(self, sequence: int) -> int:
        held = self.stored[sequence]
        return held.first if held.tokens else -1

    def state_size(self, sequence: int, *, partial: bool = False) -> int:
        return len(self._pack(sequence, partial=partial))

    def save(self, sequence: int, *, partial: bool = False) -> State | None:
        self.saves += 1
        return np.frombuffer(self._pack(sequence, partial=partial), np.uint8)

    def _pack(self, sequence: int, *, partial: bool) -> bytes:
        held = copy.copy(self.stored[sequence])
        if self.kind is MemoryKind.WINDOW:
            held.first = max(held.first, len(held.tokens) - WINDOW)  # what is masked by now is left out
        return pickle.dumps((held.first, held.seen) if partial else held)

    def restore(self, sequence: int, state: State, *, partial: bool = False) -> bool:
        loaded = pickle.loads(state.tobytes())
        if partial:
            self.stored[sequence].first, self.stored[sequence].seen = loaded
        else:
            self.stored[sequence] = loaded
        return True

    def larger(self, cells: int) -> int:
        return cells

    def move_to(self, larger: int) -> bool:
        if not self.movable:
            return False
        self.moves += 1
        self.capacity = larger // len(self.stored)
        return True


class FakeChain:
    def __init__(self, context: FakeContext, seed: int) -> None:
        self._context = context
        self._random = random.Random(seed) if seed >= 0 else None
        self.closed = False

    def sample(self, context: object, row: int, /) -> int:
        return self._context.next_token(row, self._random.random() if self._random else 0.0)

    def sample_constrained(self, context: object, row: int, matcher: Matcher, /) -> int:
        token = self.sample(context, row)
        while not matcher.admits(token):
            token = (token + 1) % VOCABULARY
        return token

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    """Implements `batch.Engine`: token t is written as the letter of its number."""

    def __init__(self, context: FakeContext, num_ctx: int) -> None:
        self.context = context
        self.spare_core = True
        self.pass_rows = context.batch_size
        self.enough_rows = max(context.batch_size // 2, 1)
        self.num_ctx = num_ctx
        self.end_tokens = frozenset({END})

    def piece(self, token: int) -> bytes:
        return bytes([97 + token])

    def written_piece(self, token: int) -> bytes:
        return self.piece(token)

    def control_tokens(self, texts: Sequence[str]) -> frozenset[int]:
        return frozenset()

    def tokenize(self, text: str) -> list[int]:
        return [ord(letter) - 97 for letter in text]


class FakeMedia:
    """Two places or more, as many positions."""

    def __init__(self, mark: int, tokens: int) -> None:
        self.ids = [-mark * 100 - index for index in range(1, tokens + 1)]
        self.tokens = self.positions = tokens
        self.evaluated = 0
        self.encoded = False

    def encode(self) -> bool:
        self.encoded = True
        return True

    def evaluate(self, context: FakeContext, sequence: int, position: int, /, *, logits: bool) -> int:
        self.evaluated += 1
        for index, id in enumerate(self.ids):
            context.put(sequence, id, position + index)
        context.rows = {0: list(context.stored[sequence].tokens)} if logits else {}
        return 0


class Bench:
    """A batcher with everything around it, driven by hand."""

    def __init__(
        self,
        *,
        parallel: int = 4,
        batch: int = 16,
        num_ctx: int = 24,
        kind: MemoryKind = MemoryKind.WHOLE,
        can_shift: bool = True,
        capacity: int = 1 << 20,
        archive: int = 0,
        rates: Rates | None = None,
        speculator: Speculator | None = None,
    ) -> None:
        self.context = FakeContext(
            sequences=parallel, batch_size=batch, kind=kind, can_shift=can_shift, capacity=capacity
        )
        self.engine = FakeEngine(self.context, num_ctx)
        self.chains: list[FakeChain] = []
        self.sent: list[frames.Frame] = []
        ticks = iter(range(1, 1 << 40))
        outbox = Outbox(self.sent.append, interval=3, clock=lambda: next(ticks))
        self.slots = Slots(parallel, self.context, archive=Archive(archive), rates=rates or Rates(lambda: next(ticks)))
        self.batcher = Batcher(self.engine, self.slots, outbox, speculator=speculator, clock=lambda: next(ticks))

    def submit(
        self,
        id: int,
        prompt: list[int],
        *,
        num_predict: int = 12,
        seed: int = -1,
        matcher: Matcher | None = None,
        media: dict[int, Media] | None = None,
        logprobs: int | None = None,
        shift: bool = True,
        prompt_logprobs: bool = False,
    ) -> None:
        request = frames.Generate(
            id=id,
            prompt="".join(chr(97 + token) for token in prompt if token >= 0),
            num_predict=num_predict,
            sampling=frames.Sampling(seed=seed),
            num_keep=2,
            logprobs=logprobs,
            shift=shift,
            prompt_logprobs=prompt_logprobs,
        )
        fit = fit_prompt(prompt, self.engine.num_ctx, num_keep=2, adds_bos=False, truncate=True, shift=True)
        chain = FakeChain(self.context, seed)
        self.chains.append(chain)
        self.batcher.submit(Job(request, fit, chain, matcher=matcher, media=media or {}))

    def run(self) -> None:
        while self.batcher.busy:
            self.batcher.step()

    def deltas(self, id: int) -> list[frames.Delta]:
        return [
            delta for frame in self.sent if isinstance(frame, frames.Step) for delta in frame.deltas if delta.id == id
        ]

    def text(self, id: int) -> str:
        return "".join(delta.text for delta in self.deltas(id))

    def done_tokens(self, id: int) -> int:
        """Tokens that a request has chosen so far."""
        return sum(running.generated for running in self.batcher.running if running.id == id)

    def done(self, id: int) -> frames.Done:
        (found,) = [
            done for frame in self.sent if isinstance(frame, frames.Step) for done in frame.done if done.id == id
        ]
        return found

    @property
    def rows(self) -> int:
        """Rows decoded so far."""
        return sum(map(len, self.context.batches))


def alone(
    prompt: list[int], num_predict: int, seed: int = -1, *, num_ctx: int = 24, can_shift: bool = True
) -> tuple[str, frames.Done]:
    """What a request says on an engine of its own."""
    bench = Bench(parallel=1, batch=64, num_ctx=num_ctx, can_shift=can_shift)
    bench.submit(1, prompt, num_predict=num_predict, seed=seed)
    bench.run()
    return bench.text(1), bench.done(1)
