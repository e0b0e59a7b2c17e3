"""Where a model goes: which GPUs, how many layers, how many sequences, what batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from scheduler import launch
from scheduler.devices import Device, Snapshot, Usage, available
from scheduler.estimate import Estimate, estimate
from scheduler.ladder import UNREDUCED, Ladder
from scheduler.launch import GIB, MIB, fits
from scheduler.requests import Limits, ModelFacts
from scheduler.spec import Spec

_log = structlog.get_logger(__name__)

_RESERVE: Final = 457 * MIB
_RESERVE_METAL: Final = 512 * MIB
_PROJECTOR_ROOM: Final = GIB


# -- which GPUs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """GPUs of one library that share a model."""

    gpus: tuple[Device, ...]
    main_gpu: int | None


def choose_gpus(
    gpus: Sequence[Device], predicted: int, *, main_gpu: int | None, spread: bool, system_free: int
) -> Choice:
    """The best single GPU that holds `predicted` bytes, else the best group; a model never spans libraries."""
    if len(gpus) <= 1:
        return Choice(tuple(gpus), main_gpu)
    groups = [
        tuple(gpu for gpu in gpus if gpu.library == library) for library in dict.fromkeys(g.library for g in gpus)
    ]
    best_group = max(groups, key=lambda group: _rank(group, system_free))
    if main_gpu is not None:
        named = [group[main_gpu] for group in groups if 0 <= main_gpu < len(group)]
        if not named:
            _log.warning(
                "requested main_gpu is outside the selected GPU group", main_gpu=main_gpu, gpus=len(best_group)
            )
            return Choice(best_group, main_gpu)
        return Choice((max(named, key=lambda gpu: _rank((gpu,), system_free)),), 0)
    if not spread:
        holding = [gpu for gpu in gpus if fits(predicted, available((gpu,), system_free).size)]
        if holding:
            return Choice((max(holding, key=lambda gpu: _rank((gpu,), system_free)),), 0)
    return Choice(best_group, None)


def _rank(group: Sequence[Device], system_free: int) -> tuple[bool, int]:
    """Discrete before integrated, then the most memory."""
    return any(not gpu.integrated for gpu in group), available(group, system_free).size


# -- how many layers ----------------------------------------------------------------------------------------------


def layers_that_fit(free: Sequence[int], layers: Sequence[int]) -> int:
    """How many layers, counted from the last one (the output) down, fit into GPUs with `free` bytes each.

    The fewest GPUs that hold everything are used, the largest first; among those in use the smallest fills first.
    """
    ranked = sorted(free, reverse=True)
    best = 0
    for used in range(1, len(ranked) + 1):
        best = max(best, _greedy(ranked[:used][::-1], layers))
        if best == len(layers):
            break
    return best


def _greedy(free: Sequence[int], layers: Sequence[int]) -> int:
    rooms = iter(free)
    room = next(rooms, 0)
    for placed, size in enumerate(reversed(layers)):
        while size > room:
            following = next(rooms, None)
            if following is None:
                return placed
            room = following
        room -= size
    return len(layers)


def _rooms(gpus: Sequence[Device], sizes: Estimate, overhead: int) -> list[int]:
    """Bytes for layers on each GPU: what is free, less what every GPU needs, its part of the draft model, and the
    projector on the first one."""
    spare_block = max(sizes.layers, default=0)
    rooms: list[int] = []
    first = next((gpu for gpu in gpus if not gpu.integrated), gpus[0])
    for gpu in gpus:
        reserve = (_RESERVE_METAL if gpu.library == "Metal" else _RESERVE) + overhead + sizes.graph + spare_block
        reserve += sizes.draft // len(gpus)
        if sizes.projector and gpu is first:
            reserve += sizes.projector + _PROJECTOR_ROOM
        rooms.append(max(gpu.free - reserve, 0))
    return rooms


# -- the whole ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placement:
    """One way to load a model."""

    gpus: tuple[Device, ...]
    main_gpu: int | None
    num_gpu: int
    """As `frames.Load` takes it: -1 all layers."""
    gpu_layers: int
    """Layers that go to GPUs, by our count."""
    num_ctx: int
    parallel: int
    num_batch: int
    use_mmap: bool | None
    flash_attention: bool | None
    kv_type: str
    predicted: int
    """Bytes in all."""
    room: int
    """Bytes that the chosen GPUs offer, or the host where none is used."""
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


def place(wish: Wish, snapshot: Snapshot, limits: Limits) -> Placement:
    """The widest placement that is whole; if none is, the narrowest, with the layers that fit."""
    for width in wish.spec.widths:
        placement = _place_with(wish, width, snapshot, limits)
        if placement.whole:
            break
    return placement  # pyright: ignore[reportPossiblyUnboundVariable]  # a spec has at least one width


def _place_with(wish: Wish, width: int, snapshot: Snapshot, limits: Limits) -> Placement:
    spec, facts, num_ctx = wish.spec, wish.facts, wish.num_ctx
    gpus = () if spec.num_gpu == 0 else snapshot.gpus
    flash = launch.flash_attention(
        limits.flash_attention, gpus, kv_type=limits.kv_cache_type, embedding=facts.embedding
    )
    kv_type = launch.kv_cache_type(limits.kv_cache_type, flash)
    cells = num_ctx * width
    sizes = estimate(
        facts if spec.draft_num_predict >= 0 else replace(facts, draft_bytes=0),
        num_ctx=num_ctx,
        parallel=width,
        num_batch=min(spec.num_batch or 512, cells),
        kv_type=kv_type,
        flash_attention=flash,
        host=not gpus,
    )
    system_free = snapshot.host.free
    choice = choose_gpus(gpus, sizes.total, main_gpu=spec.main_gpu, spread=limits.spread, system_free=system_free)
    room = available(choice.gpus, system_free).size if choice.gpus else system_free
    batch = spec.num_batch or launch.automatic_batch(
        cells, predicted=sizes.total, free=max(room, 1), flash_attention=flash, gpus=choice.gpus
    )
    predicted = sizes.total + (launch.surcharge(batch) if spec.num_batch is None else 0)
    cautious = bool(choice.gpus) or width > spec.widths[-1]
    whole = fits(predicted, room) if cautious else predicted <= room
    layers = _gpu_layers(wish, choice.gpus, sizes, whole, limits.gpu_overhead)
    used = choice.gpus if layers else ()
    return Placement(
        gpus=used,
        main_gpu=choice.main_gpu,
        num_gpu=_frame_layers(spec, choice.gpus, layers, facts.block_count + 1),
        gpu_layers=layers,
        num_ctx=num_ctx,
        parallel=width,
        num_batch=min(batch, cells),
        use_mmap=launch.memory_map(
            snapshot,
            used,
            wanted=spec.use_mmap,
            num_gpu=spec.num_gpu,
            blocks=facts.block_count,
            predicted=predicted,
            free=room,
            file=facts.weights_bytes,
            mapped=wish.mapped,
        ),
        flash_attention=flash,
        kv_type=kv_type,
        predicted=predicted,
        room=room,
        usage=_usage(choice.gpus, sizes, predicted, layers),
        whole=whole,
    )


def _gpu_layers(wish: Wish, gpus: Sequence[Device], sizes: Estimate, whole: bool, overhead: int) -> int:
    """Layers on the GPUs. Where the header does not count them, one stands for all."""
    if not gpus:
        return 0
    every = len(sizes.layers) or 1
    if wish.spec.num_gpu > 0:
        return min(wish.spec.num_gpu, every)
    if whole or not sizes.layers:
        return wish.ladder.layers(every)
    return wish.ladder.layers(layers_that_fit(_rooms(gpus, sizes, overhead), sizes.layers))


def _frame_layers(spec: Spec, gpus: Sequence[Device], layers: int, every: int) -> int:
    if spec.num_gpu >= 0:
        return spec.num_gpu
    return -1 if gpus and layers >= every else layers


def _usage(gpus: Sequence[Device], sizes: Estimate, predicted: int, layers: int) -> Usage:
    """Predicted bytes by device: GPUs share theirs as they have memory free, which is how the engine divides layers."""
    if not gpus or layers <= 0:
        return Usage({}, host=predicted)
    partial = sizes.layers and layers < len(sizes.layers)
    on_gpu = sum(sizes.layers[-layers:]) + sizes.graph + sizes.projector + sizes.draft if partial else predicted
    return Usage(dict(_shares(gpus, on_gpu)), host=max(predicted - on_gpu, 0))


def _shares(gpus: Sequence[Device], size: int) -> Iterable[tuple[str, int]]:
    free = sum(gpu.free for gpu in gpus)
    for gpu in gpus:
        yield gpu.id, size * gpu.free // free if free else size // len(gpus)
