"""The next step for the first request of the queue: one pure function over what is loaded and what the machine has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from scheduler import eviction, launch
from scheduler.devices import Snapshot, Usage, account
from scheduler.errors import InsufficientMemory
from scheduler.frames import Load
from scheduler.ladder import MIN_AUTO_CONTEXT, UNREDUCED, Ladder, halved
from scheduler.placement import Placement, Wish, place
from scheduler.requests import LeaseRequest, Limits
from scheduler.spec import Spec

MODELS_PER_GPU = 3
_MAX_ARCHIVE: Final = 4 << 30


@dataclass(frozen=True, slots=True)
class Resident:
    """A loaded model as planning sees it."""

    key: str
    keep: float
    busy: bool
    usage: Usage
    mapped: int = 0
    """Bytes of weights it has mapped."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Look at the devices first."""


@dataclass(frozen=True, slots=True)
class Evict:
    """These must be gone before anything else; a busy one is waited for."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Load now."""

    placement: Placement
    ladder: Ladder


@dataclass(frozen=True, slots=True)
class Refuse:
    """It cannot be loaded on this machine."""

    error: InsufficientMemory


Decision: TypeAlias = Survey | Evict | Start | Refuse


@dataclass(frozen=True, slots=True)
class Target:
    """The request to serve, and what its load has given up so far."""

    request: LeaseRequest
    spec: Spec
    ladder: Ladder = UNREDUCED


def loaded_limit(limits: Limits, gpus: int) -> int:
    """How many models may be loaded at a time."""
    return limits.max_loaded if limits.max_loaded > 0 else MODELS_PER_GPU * max(gpus, 1)


def decide(
    target: Target, residents: Sequence[Resident], snapshot: Snapshot | None, *, limits: Limits, most: int
) -> Decision:
    """What to do for `target`, whose model is not loaded as it must be. `most` models may be loaded at a time."""
    key = target.request.model.key
    candidates = [eviction.Candidate(one.key, one.keep, one.busy) for one in residents]
    if any(one.key == key for one in residents):
        return Evict((key,))
    if len(residents) >= most:
        return _evict(eviction.choose_victim(candidates))
    if target.ladder.clear and (idle := eviction.idle(candidates)):
        return Evict(idle)
    if snapshot is None:
        return Survey()
    mapped = sum(one.mapped for one in residents)
    free = account(snapshot, [one.usage for one in residents])
    if not residents:
        return _alone(target, free, mapped, limits)
    placement = place(Wish(target.request.model.facts, target.spec, target.ladder, mapped), free, limits)
    if _hopeless(target, placement, snapshot):
        host = snapshot.host
        return Refuse(InsufficientMemory(placement.usage.host, host.total + host.swap_free))
    if _crowded(target, placement, free) and not target.ladder.clear:
        return _evict(eviction.choose_victim(candidates))
    return Start(placement, target.ladder)


def _hopeless(target: Target, placement: Placement, snapshot: Snapshot) -> bool:
    """Whether even the empty machine could not hold it, so that nobody should leave for its sake."""
    if snapshot.gpus or snapshot.platform == "darwin":
        return False
    smallest = not target.spec.num_ctx_auto or placement.num_ctx <= MIN_AUTO_CONTEXT
    return smallest and placement.usage.host > snapshot.host.total + snapshot.host.swap_free


def _evict(key: str | None) -> Evict:
    return Evict((key,) if key is not None else ())


def _crowded(target: Target, placement: Placement, snapshot: Snapshot) -> bool:
    """Whether others must leave: the model does not fit wholly, or its part on the host does not.

    Who asks for some layers only has already settled for less.
    """
    if placement.usage.host > snapshot.host.free:
        return True
    some_layers = 0 < target.spec.num_gpu <= target.request.model.facts.block_count
    return not placement.whole and not some_layers


def _alone(target: Target, snapshot: Snapshot, mapped: int, limits: Limits) -> Start | Refuse:
    """Load into an otherwise empty machine; an automatic context shrinks until the host can hold its part."""
    have = snapshot.host.free + snapshot.host.swap_free
    ladder: Ladder | None = target.ladder
    while True:
        placement = place(Wish(target.request.model.facts, target.spec, ladder, mapped), snapshot, limits)
        if placement.usage.host <= have or snapshot.platform == "darwin":
            return Start(placement, ladder)
        smaller = halved(ladder, placement.num_ctx) if target.spec.num_ctx_auto else None
        if smaller is None:
            return Refuse(InsufficientMemory(placement.usage.host, have))
        ladder = smaller


def load_frame(target: Target, placement: Placement, snapshot: Snapshot, limits: Limits) -> Load:
    """What the runner is told."""
    model = target.request.model
    return Load(
        weights=list(model.weights),
        num_ctx=placement.num_ctx,
        parallel=placement.parallel,
        num_batch=placement.num_batch,
        num_ubatch=launch.physical_batch(
            placement.num_batch,
            placement.num_ctx,
            model.facts.head_count,
            placement.flash_attention,
            host=not placement.gpus,
        ),
        num_gpu=placement.num_gpu,
        main_gpu=placement.main_gpu,
        tensor_split=list(placement.split) if len(placement.split) > 1 else [],
        use_mmap=placement.use_mmap,
        use_mlock=bool(target.spec.use_mlock),
        num_thread=target.spec.num_thread or snapshot.host.threads,
        embedding=model.facts.embedding,
        flash_attention=placement.flash_attention,
        kv_cache_type=placement.kv_type,
        adapters=[(path, 1.0) for path in model.adapters],
        projectors=list(model.projectors),
        projector_on_gpu=placement.projector_on_gpu,
        archive_bytes=0 if model.facts.embedding else archive_bytes(limits, placement, snapshot),
        draft=list(model.draft) if target.spec.draft_num_predict >= 0 else [],
        draft_num_predict=target.spec.draft_num_predict,
    )


def archive_bytes(limits: Limits, placement: Placement, snapshot: Snapshot) -> int:
    """Host memory for prefixes: what the operator says, else an eighth of what the model leaves free, within bounds."""
    if limits.prefix_memory is not None:
        return limits.prefix_memory
    return min(max(snapshot.host.free - placement.usage.host, 0) // 8, _MAX_ARCHIVE)


def environment(placement: Placement) -> dict[str, str]:
    """Visible devices for the runner of a placement. An explicit number of layers on a machine without known GPUs is
    left to the engine, which may know of more."""
    if not placement.gpus and placement.num_gpu > 0:
        return {}
    return dict(launch.visible_devices(placement.gpus))
