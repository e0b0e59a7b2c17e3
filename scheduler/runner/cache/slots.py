"""The engine's sequences, what each of them has stored, and which of them a new prompt gets.

A finished conversation stays stored until its slot is needed. A new prompt takes over the longest beginning that
anybody holds, by the cheapest of:

    continue   an idle slot holds it: cut the slot back and go on there
    fork       a busy slot holds it, or an idle one whose own end is worth keeping: copy its state into another slot
    restore    it was put into host memory: copy it back
    compute    nobody holds enough of it to be worth a copy

and what is overwritten on the way is put into host memory if that is likely to pay. Sequences have KV of their own, so
a fork copies; docs/adr/0002-kv-per-sequence.md has the figures.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from scheduler.runner.cache.archive import Archive, Checkpoint, Kept, Span
from scheduler.runner.cache.memory import MemoryKind, SequenceMemory
from scheduler.runner.cache.prefix import PrefixTree
from scheduler.runner.cache.rates import Rates

_WORTH_KEEPING: Final = 32
"""Tokens; less is computed again before anybody notices."""
_DOUBT: Final = 4
"""How many times cheaper keeping must be than computing again: most of what is kept is never asked for."""
_ROUND_TRIP: Final = 2
_INTERRUPTION: Final = 20_000_000
"""Nanoseconds that a new request may have to wait for something that was begun because there was nothing to do."""
_CANDIDATES: Final = 64
"""Holders that are looked at: there may be thousands, and those that share most come first."""
_CHECKPOINTS: Final = 8
"""Most of one sequence."""


class Slot:
    """One of the engine's sequences and what is stored under it."""

    __slots__ = ("_spans", "ahead", "busy", "checkpoints", "id", "skipped", "sound", "tokens", "used")

    def __init__(self, id: int) -> None:
        self.id = id
        self.tokens: list[int] = []
        """What is stored, in order; negative numbers stand for pieces of pictures and clips."""
        self._spans: Sequence[Span] = ()
        self.skipped = 0
        """Places that have no position of their own."""
        self.checkpoints: list[Checkpoint] = []
        """In ascending order of length."""
        self.sound = sys.maxsize
        """Leading tokens whose KV is that of a fresh evaluation. What a shift has moved still remembers the rest."""
        self.busy = False
        self.used = 0
        """Turn of its last claim; 0: never."""
        self.ahead = 0
        """Tokens it had when copying it ahead was considered last."""

    @property
    def spans(self) -> Sequence[Span]:
        """Pictures and clips among the tokens, in order."""
        return self._spans

    @spans.setter
    def spans(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self.skipped = sum(span.tokens - span.positions for span in spans)

    @property
    def end(self) -> int:
        """The engine's position of the next token: some pictures take more places than positions."""
        return len(self.tokens) - self.skipped


Holder: TypeAlias = Slot | Kept


class Claim(NamedTuple):
    """A slot for a prompt."""

    slot: Slot
    cached: int
    """Leading tokens of the prompt that it has stored."""
    branch: int
    """Leading tokens that somebody shares: the next prompt is likely to leave there, too."""


class Slots:
    """All sequences of a context. Used by the engine's thread only."""

    def __init__(
        self, count: int, memory: SequenceMemory, *, archive: Archive | None = None, rates: Rates | None = None
    ) -> None:
        self.all = [Slot(id) for id in range(count)]
        self.rates = Rates() if rates is None else rates
        self._memory = memory
        self._archive = Archive() if archive is None else archive
        self._tree: PrefixTree[Holder] = PrefixTree()
        self._turn = 0

    def idle(self) -> list[Slot]:
        """Slots without a running request."""
        return [slot for slot in self.all if not slot.busy]

    # -- life of a slot

    def claim(self, prompt: Sequence[int]) -> Claim | None:
        """A slot for the prompt, as much of its beginning stored as can be had; None while all are busy.

        The last token always counts as new: evaluating it gives the logits to begin with.
        """
        idle = self.idle()
        if not idle:
            return None
        limit = len(prompt) - 1
        shared = self._tree.shared(prompt, _CANDIDATES)
        reach = {holder: self._reach(holder, min(length, limit)) for holder, length in shared.items()}
        slot = self._place(reach, idle)
        self._occupy(slot)
        return Claim(slot, len(slot.tokens), min(max(shared.values(), default=0), limit))

    def borrow(self) -> Slot | None:
        """An idle slot with nothing in it, for work that leaves nothing behind; None while all are busy."""
        idle = self.idle()
        if not idle:
            return None
        slot = _oldest(idle)
        self._put_away(slot)
        self.clear(slot)
        self._occupy(slot)
        return slot

    def _occupy(self, slot: Slot) -> None:
        self._turn += 1
        slot.busy, slot.used, slot.ahead = True, self._turn, 0

    def publish(self, slot: Slot) -> None:
        """Let other prompts find what the slot has stored by now."""
        self._tree.insert(slot, slot.tokens[: slot.sound])

    def release(self, slot: Slot) -> None:
        """The request is over; what it stored stays."""
        self.publish(slot)
        slot.busy = False

    def clear(self, slot: Slot) -> None:
        """Forget all that the slot has stored."""
        self._cut(slot, 0)
        self._tree.remove(slot)

    def put_away_ahead(self, wanted: Callable[[], bool]) -> None:
        """Do now, while nobody waits, what new prompts would have to do first: copy what they will overwrite.

        Ends early when `wanted` says that there is something better to do; takes room that is free, nobody else's.
        """
        for slot in sorted((slot for slot in self.idle() if slot.tokens), key=_last_use):
            if wanted():
                return
            if slot.ahead == len(slot.tokens):
                continue
            slot.ahead = len(slot.tokens)
            size = self._memory.state_size(slot.id)
            if size <= self._archive.room and self.rates.copy_time(size) <= _INTERRUPTION:
                self._put_away(slot)

    # -- checkpoints and shifts

    def checkpoint(self, slot: Slot) -> None:
        """Remember the present state of a slot that cannot be cut back to it otherwise."""
        length = len(slot.tokens)
        if self._memory.kind is MemoryKind.WHOLE or any(one.length == length for one in slot.checkpoints):
            return
        state = self._memory.save(slot.id, partial=True)
        if state is not None:
            slot.checkpoints.append(Checkpoint(length, state))
            del slot.checkpoints[:-_CHECKPOINTS]

    def shifted(self, slot: Slot, start: int, end: int) -> None:
        """The engine has dropped the tokens [start, end) and moved the rest down."""
        del slot.tokens[start:end]
        slot.sound = min(slot.sound, start)
        slot.checkpoints = [one for one in slot.checkpoints if one.length <= start]

    # -- who has what

    def _reach(self, holder: Holder, length: int) -> int:
        """The greatest length, up to `length`, that the holder can be cut back to."""
        length = min(length, holder.sound)
        for span in holder.spans:
            if span.start < length < span.start + span.tokens:
                length = span.start
        if length == len(holder.tokens) or self._can_cut(holder, length):
            return length
        return max((one.length for one in holder.checkpoints if one.length <= length), default=0)

    def _can_cut(self, holder: Holder, length: int) -> bool:
        """Whether forgetting the end leaves the first `length` tokens as they were."""
        if self._memory.kind is not MemoryKind.WINDOW:
            return self._memory.kind is MemoryKind.WHOLE
        first = holder.first if isinstance(holder, Kept) else self._memory.first_position(holder.id)
        return 0 <= first <= max(0, length - self._memory.window + 1)

    def _cut(self, slot: Slot, length: int) -> int:
        """Cut a slot back to a length that `_reach` gave; returns what is left, 0 if the engine refuses."""
        if length < len(slot.tokens):
            whole = self._can_cut(slot, length)
            del slot.tokens[length:]
            slot.spans = [span for span in slot.spans if span.start < length]
            if not (length and self._forget_end(slot, whole=whole)):
                self._memory.remove(slot.id, 0)
                del slot.tokens[:]
                slot.spans, slot.sound, length = (), sys.maxsize, 0
            slot.checkpoints = [one for one in slot.checkpoints if one.length <= length]
        return length

    def _forget_end(self, slot: Slot, *, whole: bool) -> bool:
        """Make the engine forget what is no longer among the tokens; from a checkpoint unless `whole`."""
        if not whole:
            states = (one.state for one in slot.checkpoints if one.length == len(slot.tokens))
            state = next(states, None)
            if state is None or not self._memory.restore(slot.id, state, partial=True):
                return False
        return self._memory.remove(slot.id, slot.end)

    # -- the choice

    def _place(self, reach: dict[Holder, int], idle: list[Slot]) -> Slot:
        """The slot, brought to the state in which the prompt takes over."""
        here = max(idle, key=lambda slot: (reach.get(slot, 0), -len(slot.tokens), -slot.used))
        best = max(reach, key=lambda holder: (reach[holder], holder is here), default=here)
        gain = reach.get(best, 0) - reach.get(here, 0)
        if gain >= _WORTH_KEEPING:  # a busy slot or host memory has clearly more
            target = _oldest(idle)
            if self._copy(best, target, gain, reach[best]):
                return target
        length = reach.get(here, 0)
        if not length:
            here = _oldest(idle)
        elif self._end_is_precious(here, length):
            target = _oldest(idle)
            if target is not here and self._copy(here, target, length, length):
                return target
        if length < len(here.tokens):
            self._put_away(here, length)
        self._cut(here, length)
        self.publish(here)
        return here

    def _end_is_precious(self, slot: Slot, length: int) -> bool:
        """Whether what follows the first `length` tokens is worth two copies."""
        lost = min(len(slot.tokens) - length, self._only_there(slot))
        if lost < _WORTH_KEEPING:
            return False
        return self.rates.copy_pays(self._memory.state_size(slot.id), lost, times=_ROUND_TRIP * _DOUBT)

    def _only_there(self, slot: Slot) -> int:
        """How many of the slot's tokens nobody else could give back."""
        tokens = slot.tokens[: slot.sound]
        shared = self._tree.shared(tokens, _CANDIDATES)
        shared.pop(slot, None)
        return len(tokens) - max((self._reach(holder, length) for holder, length in shared.items()), default=0)

    def _copy(self, source: Holder, target: Slot, gain: int, length: int) -> bool:
        """Make `target` a copy of the first `length` tokens of `source` if that is quicker than computing `gain`
        tokens; what it held is put away first."""
        times = 1 if isinstance(source, Kept) else _ROUND_TRIP
        size = source.state.nbytes if isinstance(source, Kept) else self._memory.state_size(source.id)
        if not size or not self.rates.copy_pays(size, gain, times=times):
            return False
        held = source if isinstance(source, Kept) else self._saved(source)
        if held is None or self._reach(held, length) < length:  # a copy has less of a window than its original
            return False
        self._put_away(target)
        self.clear(target)
        with self.rates.copying(size):
            restored = self._memory.restore(target.id, held.state)
        if not restored:
            self._memory.remove(target.id, 0)
            return False
        target.tokens, target.sound = list(held.tokens), held.sound
        target.spans, target.checkpoints = list(held.spans), list(held.checkpoints)
        if isinstance(source, Kept):
            self._used(source, whole=length == len(source.tokens))
        self._cut(target, length)
        self.publish(target)
        return True

    def _used(self, kept: Kept, *, whole: bool) -> None:
        """A sequence of the archive has been copied back; what is whole in a slot need not stay there, too."""
        if whole:
            self._archive.discard(kept)
            self._tree.remove(kept)
        else:
            self._archive.touch(kept)

    # -- host memory

    def _put_away(self, slot: Slot, length: int = 0) -> None:
        """Copy a slot, whose tokens from `length` on will be lost, into host memory if that is likely to pay."""
        if not self._archive.budget:
            return
        lost = min(len(slot.tokens) - length, self._only_there(slot))
        if lost < _WORTH_KEEPING:
            return
        if not self.rates.copy_pays(self._memory.state_size(slot.id), lost, times=_ROUND_TRIP * _DOUBT):
            return
        kept = self._saved(slot)
        if kept is None:
            return
        for holder in self._tree.within(kept.tokens[: kept.sound]):
            length = len(holder.tokens)
            if isinstance(holder, Kept) and holder.sound >= length == self._reach(kept, length):
                self._archive.discard(holder)  # the new one continues it
                self._tree.remove(holder)
        self._tree.insert(kept, kept.tokens[: kept.sound])
        for gone in self._archive.add(kept):
            self._tree.remove(gone)

    def _saved(self, slot: Slot) -> Kept | None:
        first = self._memory.first_position(slot.id)
        if self._memory.kind is MemoryKind.WINDOW:
            first = max(first, slot.end - self._memory.window)  # the engine leaves out what is masked by now
        with self.rates.copying(self._memory.state_size(slot.id)):
            state = self._memory.save(slot.id)
        if state is None:
            return None
        return Kept(list(slot.tokens), state, first, slot.sound, tuple(slot.spans), list(slot.checkpoints))


def _oldest(idle: Sequence[Slot]) -> Slot:
    """The slot to overwrite: an empty one, else the one not used for longest."""
    return min(idle, key=_last_use)


def _last_use(slot: Slot) -> tuple[int, int]:
    return slot.used if slot.tokens else 0, slot.id
