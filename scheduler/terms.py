"""What the GPUs that compute decide about a load, and what the size of the model depends on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.devices import Device
from scheduler.launch import EXACT_KV, GIB, KV_TYPES, divides, flash_attention
from scheduler.requests import Limits, ModelFacts

UNKNOWN_TYPE: Final = "unsupported OLLAMA_KV_CACHE_TYPE"
NEEDS_FLASH: Final = "OLLAMA_FLASH_ATTENTION must be enabled to use a quantized OLLAMA_KV_CACHE_TYPE"
ODD_HEADS: Final = "the heads of the model are no multiple of a block of OLLAMA_KV_CACHE_TYPE"

PROJECTOR_ROOM: Final = GIB
"""What a projector computes with, and more."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Of a load on certain GPUs."""

    flash_attention: bool | None
    kv_type: str
    kv_complaint: str
    """Why that is not the type that was asked for, but f16; empty if it is."""
    projector_on_gpu: bool
    host: bool
    """There are none: the processor computes."""


def terms_on(
    gpus: Sequence[Device], facts: ModelFacts, limits: Limits, *, num_gpu: int, projector_on_host: bool = False
) -> Terms:
    """The terms of these GPUs. `num_gpu` as in the options; `projector_on_host`: it has to make room."""
    flash, kind, complaint = _attention(limits, gpus, facts)
    projected = not projector_on_host and _takes_projector(gpus, facts, num_gpu)
    return Terms(flash, kind, complaint, projected, host=not gpus)


def _attention(limits: Limits, gpus: Sequence[Device], facts: ModelFacts) -> tuple[bool | None, str, str]:
    kind, complaint = limits.kv_cache_type.strip().lower() or "f16", ""
    if kind not in KV_TYPES:
        kind, complaint = "f16", UNKNOWN_TYPE
    elif not divides(facts, kind):
        kind, complaint = "f16", ODD_HEADS
    flash = flash_attention(limits.flash_attention, gpus, kv_type=kind, embedding=facts.embedding)
    if kind not in EXACT_KV and flash is False:
        kind, complaint = "f16", NEEDS_FLASH
    return flash, kind, complaint


def _takes_projector(gpus: Sequence[Device], facts: ModelFacts, num_gpu: int) -> bool:
    """Whether the projector goes to the first GPU: not beside a part of the layers that was asked for, nor where the
    smallest GPU has no room for it. GPUs that only the engine knows are trusted with it."""
    some = num_gpu == 0 or 0 < num_gpu <= facts.block_count
    if not facts.projector_bytes or some or (not gpus and num_gpu < 0):
        return False
    return all(gpu.free >= facts.projector_bytes + PROJECTOR_ROOM for gpu in gpus)
