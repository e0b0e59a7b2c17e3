"""Where a model goes: which GPUs, how many layers, how many sequences, what batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from scheduler import launch
from scheduler.choice import Choice, choose_gpus, rank
from scheduler.devices import Device, Snapshot, Usage, available
from scheduler.estimate import Estimate, estimate
from scheduler.ladder import UNREDUCED, Ladder
from scheduler.launch import MIB, fits
from scheduler.layout import divide, divide_all, in_order
from scheduler.requests import Limits, ModelFacts
from scheduler.spec import Spec
from scheduler.terms import PROJECTOR_ROOM, Terms, terms_on

_RESERVE: Final = 457 * MIB
_RESERVE_METAL: Final = 512 * MIB


# -- how many layers ----------------------------------------------------------------------------------------------


def _rooms(gpus: Sequence[Device], sizes: Estimate) -> list[int]:
    """Bytes for layers on each GPU: what is free, less what every GPU needs, its part of the draft model, and the
    projector on the first one."""
    spare_block = max(sizes.layers[:-1], default=0)
    rooms: list[int] = []
    for n, gpu in enumerate(gpus):
        reserve = (_RESERVE_METAL if gpu.library == "Metal" else _RESERVE) + sizes.graph + spare_block
        reserve += sizes.draft // len(gpus)
        if sizes.projector and n == 0:
            reserve += sizes.projector + PROJECTOR_ROOM
        rooms.append(max(gpu.free - reserve, 0))
    return rooms


def _ordered(gpus: Sequence[Device], *, forced: bool = False) -> tuple[Device, ...]:
    order = in_order([gpu.free for gpu in gpus], [gpu.integrated for gpu in gpus], forced=forced)
    return tuple(gpus[n] for n in order)


def _divisible(gpus: Sequence[Device], sizes: Estimate) -> bool:
    """Whether what several GPUs hold together goes into each of them; one alone is judged by the whole."""
    if len(gpus) < 2 or not sizes.layers:
        return True
    return sum(divide(_rooms(_ordered(gpus), sizes), sizes.layers)) == len(sizes.layers)


def _fewest(gpus: Sequence[Device], sizes: Estimate, system_free: int) -> tuple[Device, ...]:
    """Of a group, as few GPUs as hold everything, the best ones; all if that takes all, or more."""
    ranked = sorted(gpus, key=lambda gpu: rank((gpu,), system_free), reverse=True)
    for used in range(2, len(ranked)):
        some = tuple(ranked[:used])
        fit = fits(sizes.on_gpu(len(sizes.layers), used), available(some, system_free).size)
        if fit and _divisible(some, sizes):
            return some
    return tuple(gpus)


# -- the whole ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placement:
    """One way to load a model."""

    gpus: tuple[Device, ...]
    """Those that get layers, in the order in which they follow each other in the model."""
    main_gpu: int | None
    num_gpu: int
    """As `frames.Load` takes it: -1 all layers."""
    gpu_layers: int
    """Layers that go to GPUs, by our count."""
    split: tuple[int, ...]
    """How many of them each GPU gets."""
    num_ctx: int
    parallel: int
    num_batch: int
    use_mmap: bool | None
    flash_attention: bool | None
    kv_type: str
    kv_complaint: str
    """Why it is not the type that the operator asked for; empty if it is."""
    projector_on_gpu: bool
    predicted: int
    """Bytes in all."""
    room: int
    """Bytes that the chosen GPUs offer, or the host where none is used."""
    host_free: int
    usage: Usage
    whole: bool
    """Everything fits where it computes best: on the GPUs, or in the host's memory where there are none."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be placed."""

    facts: ModelFacts
    spec: Spec
    ladder: Ladder = UNREDUCED
    mapped: int = 0
    """Bytes of files that loaded models have mapped."""

    @property
    def num_ctx(self) -> int:
        return self.spec.num_ctx if self.ladder.num_ctx is None else self.ladder.num_ctx

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of sequences to try. What already gave up something is no longer wider than it must be."""
        reduced = self.ladder.num_ctx is not None or self.ladder.cuts
        return self.spec.widths[-1:] if reduced else self.spec.widths


def place(wish: Wish, snapshot: Snapshot, limits: Limits) -> Placement:
    """The widest placement that is whole; if none is, the narrowest, with the layers that fit."""
    gpus = () if wish.spec.num_gpu == 0 else snapshot.gpus
    left = tuple(replace(gpu, free=max(gpu.free - limits.gpu_overhead, 0)) for gpu in gpus)
    for width in wish.widths:
        placement = _Attempt(wish, width, replace(snapshot, gpus=left), limits).placement()
        if placement.whole:
            break
    return placement  # pyright: ignore[reportPossiblyUnboundVariable]  # a spec has at least one width


@dataclass(frozen=True, slots=True)
class _Draft:
    """GPUs chosen, and layers divided among them, by the sizes of certain terms."""

    choice: Choice
    batch: int
    predicted: int
    room: int
    whole: bool
    gpus: tuple[Device, ...]
    split: tuple[int, ...]
    layers: int
    """All there are."""


_ROUNDS: Final = 3


class _Attempt:
    """A placement with a certain number of sequences."""

    def __init__(self, wish: Wish, width: int, snapshot: Snapshot, limits: Limits) -> None:
        self._wish, self._width, self._snapshot, self._limits = wish, width, snapshot, limits
        drafts = wish.spec.draft_num_predict >= 0
        self._facts = wish.facts if drafts else replace(wish.facts, drafter=None)

    def placement(self) -> Placement:
        """What the chosen GPUs can do decides about sizes, and sizes about the choice: begin with what the best of them
        could do, and choose anew if those that are chosen cannot."""
        terms = self._best_terms()
        for _ in range(_ROUNDS):
            draft = self._draft(terms)
            found = self._terms(draft.gpus)
            if found == terms or not draft.gpus:
                break
            terms = found
        return self._placed(draft, found)  # pyright: ignore[reportPossiblyUnboundVariable]  # there is a first round

    def _terms(self, gpus: Sequence[Device]) -> Terms:
        wish = self._wish
        return terms_on(
            gpus,
            wish.facts,
            self._limits,
            num_gpu=wish.spec.num_gpu,
            projector_on_host=wish.ladder.projector_on_host,
        )

    def _best_terms(self) -> Terms:
        each = [self._terms((gpu,)) for gpu in self._snapshot.gpus] or [self._terms(())]
        return max(each, key=lambda one: (one.flash_attention is not False, one.projector_on_gpu))

    def _draft(self, terms: Terms) -> _Draft:
        spec, free = self._wish.spec, self._snapshot.host.free
        cells = self._wish.num_ctx * self._width
        sizes = self._sizes(min(spec.num_batch or 512, cells), terms)
        choice = self._choice(sizes)
        room = available(choice.gpus, free).size if choice.gpus else free
        batch = spec.num_batch or launch.automatic_batch(
            cells, predicted=sizes.total, free=max(room, 1), flash_attention=terms.flash_attention, gpus=choice.gpus
        )
        extra = launch.surcharge(batch) if spec.num_batch is None else 0
        predicted = _needed(sizes, len(choice.gpus)) + extra
        cautious = bool(choice.gpus) or self._width > spec.widths[-1]
        final = self._sizes(min(batch, cells), terms)
        whole = (fits(predicted, room) if cautious else predicted <= room) and _divisible(choice.gpus, final)
        gpus, split = self._layout(choice.gpus, final, whole)
        return _Draft(choice, min(batch, cells), predicted, room, whole, gpus, split, len(final.layers) or 1)

    def _placed(self, draft: _Draft, terms: Terms) -> Placement:
        spec, facts = self._wish.spec, self._wish.facts
        layers = sum(draft.split)
        return Placement(
            gpus=draft.gpus,
            main_gpu=draft.choice.main_gpu,
            num_gpu=_frame_layers(spec, draft.choice.gpus, layers, draft.layers),
            gpu_layers=layers,
            split=draft.split,
            num_ctx=self._wish.num_ctx,
            parallel=self._width,
            num_batch=draft.batch,
            use_mmap=launch.memory_map(
                self._snapshot,
                draft.gpus,
                wanted=spec.use_mmap,
                num_gpu=spec.num_gpu,
                blocks=facts.block_count,
                predicted=draft.predicted,
                free=draft.room,
                file=facts.weights_bytes,
                mapped=self._wish.mapped,
            ),
            flash_attention=terms.flash_attention,
            kv_type=terms.kv_type,
            kv_complaint=terms.kv_complaint,
            projector_on_gpu=terms.projector_on_gpu,
            predicted=draft.predicted,
            room=draft.room,
            host_free=self._snapshot.host.free,
            usage=_usage(draft.gpus, draft.split, self._sizes(draft.batch, terms)),
            whole=draft.whole,
        )

    def _sizes(self, num_batch: int, terms: Terms) -> Estimate:
        return estimate(
            self._facts,
            num_ctx=self._wish.num_ctx,
            parallel=self._width,
            num_batch=num_batch,
            kv_type=terms.kv_type,
            flash_attention=terms.flash_attention,
            host=terms.host,
            threads=self._wish.spec.num_thread or self._snapshot.host.threads,
            projector_on_gpu=terms.projector_on_gpu,
        )

    def _choice(self, sizes: Estimate) -> Choice:
        free = self._snapshot.host.free
        choice = choose_gpus(
            self._snapshot.gpus,
            _needed(sizes, 1),
            main_gpu=self._wish.spec.main_gpu,
            spread=self._limits.spread,
            system_free=free,
        )
        if len(choice.gpus) < 2 or self._limits.spread or choice.main_gpu is not None or not sizes.layers:
            return choice
        return replace(choice, gpus=_fewest(choice.gpus, sizes, free))

    def _layout(
        self, gpus: tuple[Device, ...], sizes: Estimate, whole: bool
    ) -> tuple[tuple[Device, ...], tuple[int, ...]]:
        """The GPUs that get layers, and how many each gets. A header that counts none has one for all."""
        layers, asked = sizes.layers or (0,), self._wish.spec.num_gpu
        gpus = _ordered(gpus, forced=asked > 0)
        rooms = _rooms(gpus, sizes)
        if asked > 0:
            count = min(asked, len(layers))
        elif whole or not sizes.layers:
            count = self._wish.ladder.layers(len(layers))
        else:
            count = self._wish.ladder.layers(sum(divide(rooms, layers)))
        mixed = len({gpu.integrated for gpu in gpus}) > 1
        split = divide_all(rooms, layers[len(layers) - count :], even=asked > 0 or not mixed)
        used = [(gpu, share) for gpu, share in zip(gpus, split, strict=True) if share]
        return tuple(gpu for gpu, _ in used), tuple(share for _, share in used)


def _needed(sizes: Estimate, gpus: int) -> int:
    """Bytes where the model computes best: on so many GPUs, or on a host without any."""
    return sizes.on_gpu(len(sizes.layers) or 1, gpus) if gpus else sizes.total


def _frame_layers(spec: Spec, gpus: Sequence[Device], layers: int, every: int) -> int:
    if spec.num_gpu >= 0:
        return spec.num_gpu
    return -1 if gpus and layers >= every else layers


def _usage(gpus: Sequence[Device], split: Sequence[int], sizes: Estimate) -> Usage:
    """Bytes by device: each GPU has its layers, and what one step computes with; the first one has the projector."""
    every = sizes.layers or (sizes.weights,)
    layers = iter(every[len(every) - sum(split) :])
    used: dict[str, int] = {}
    for n, (gpu, share) in enumerate(zip(gpus, split, strict=True)):
        used[gpu.id] = sum(islice(layers, share)) + sizes.graph + sizes.draft // len(gpus)
        used[gpu.id] += sizes.projector if n == 0 else 0
    return Usage(used, host=sizes.on_host(sum(split)))
