"""What a runner is told besides the model: batch, flash attention, memory mapping, visible devices."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from scheduler.devices import Device, Snapshot
from scheduler.environment import NO_GPUS
from scheduler.requests import ModelFacts

MIB: Final = 1 << 20
GIB: Final = 1 << 30

KV_TYPES: Final = frozenset({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"})
EXACT_KV: Final = frozenset({"f32", "f16", "bf16"})
_KV_BLOCK: Final = 32
"""Numbers that share a scale in all other types: a head must be a multiple of it."""


def fits(needed: int, free: int, *, percent: int = 80) -> bool:
    """Whether a prediction may be trusted to hold: it leaves a fifth of what is free."""
    return needed * 100 <= free * percent


# -- batch --------------------------------------------------------------------------------------------------------

_BATCHES: Final = ((2048, 2 * GIB, 60), (1024, 768 * MIB, 75))
"""Batch, memory it takes beyond that of 512, and how much of what is free the model may fill for it."""
_SMALL_CUDA: Final = 8 * GIB


def surcharge(num_batch: int) -> int:
    """Bytes that a larger batch adds to a prediction."""
    return next((extra for batch, extra, _ in _BATCHES if num_batch >= batch), 0)


def automatic_batch(
    context: int, *, predicted: int = 0, free: int = 0, flash_attention: bool | None = None, gpus: Iterable[Device] = ()
) -> int:
    """Tokens of one decode when nobody asked for a number.

    `context` is that of all sequences together; `predicted` and `free` are bytes, 0 when unknown.
    """
    cuda = [gpu for gpu in gpus if gpu.library == "CUDA"]
    if flash_attention is False and cuda:
        return 256 if context > 4096 and any((gpu.free or gpu.total) <= _SMALL_CUDA for gpu in cuda) else 512
    largest = 2048 if context > 32768 else 1024 if context > 4096 else 512
    for batch, extra, percent in _BATCHES:
        if batch > largest:
            continue
        unknown = predicted <= 0 or free <= 0
        if unknown or (fits(predicted, free, percent=percent) and extra <= free * 80 // 100 - predicted):
            return batch
    return 512


# -- attention and cache ------------------------------------------------------------------------------------------


def flash_attention(
    wanted: bool | None, gpus: Sequence[Device], *, kv_type: str = "f16", embedding: bool = False
) -> bool | None:
    """The operator's word; without one, off where a selected GPU cannot do it and on the processor, else None: the
    engine decides.

    On the processor a few new tokens behind many old ones, which is all of a long answer, take several times as long
    with it (docs/adr/0010-flash-attention.md). Quantised values need it, and embedding models choose by text.
    """
    if wanted is not None:
        return wanted
    if not gpus:
        return False if kv_type.strip().lower() in ("", *EXACT_KV) and not embedding else None
    return None if all(_has_flash(gpu) for gpu in gpus) else False


_SCORES: Final = 512 * MIB
_LEAST_ROWS: Final = 64
_HOST_ROWS: Final = 128


def physical_batch(num_batch: int, num_ctx: int, heads: int, flash: bool | None, *, host: bool) -> int:
    """Tokens that are computed together.

    The processor (`host`) gains nothing from more than a hundred, and everybody else waits for all of them. Without
    flash attention each has a score for every token of the context and every head: they get half a gigabyte.
    """
    rows = min(num_batch, _HOST_ROWS) if host else num_batch
    if flash is not False or num_ctx <= 0 or heads <= 0:
        return rows
    return min(rows, max(_SCORES // (4 * num_ctx * heads), _LEAST_ROWS))


def _has_flash(gpu: Device) -> bool:
    if gpu.library != "CUDA" or gpu.compute == (0, 0):
        return True
    driver_known = gpu.driver != (0, 0)
    return gpu.compute[0] >= 6 and gpu.compute != (7, 2) and not (driver_known and gpu.driver[0] < 7)


def divides(facts: ModelFacts, kind: str) -> bool:
    """Whether the model's keys can be stored in this type."""
    return kind in EXACT_KV or all(block.head % _KV_BLOCK == 0 for block in facts.blocks)


# -- mapping ------------------------------------------------------------------------------------------------------


def memory_map(
    snapshot: Snapshot,
    gpus: tuple[Device, ...],
    *,
    wanted: bool | None,
    num_gpu: int,
    blocks: int,
    predicted: int,
    free: int,
    file: int,
    mapped: int,
) -> bool | None:
    """Whether weights are mapped instead of read; None leaves it to the engine, which maps.

    On the processor mapping halves the time of a load, and the runners of a model share its pages; what the engine
    repacks, it copies into memory of its own either way. `free` is what `gpus` offer, `file` the size of the weights,
    `mapped` that of all mapped files of loaded models.
    """
    if wanted is not None:
        return wanted
    if num_gpu == 0 or not gpus:
        return None
    libraries = {gpu.library for gpu in gpus}
    if snapshot.platform == "win32" and "CUDA" in libraries:
        return False
    if "Metal" in libraries and (0 < num_gpu < blocks + 1 or (num_gpu < 0 and predicted > free)):
        return False
    reserve = max(8 * 10**9, snapshot.host.total // 10)
    pressed = snapshot.host.free < file + mapped + reserve
    all_discrete = not any(gpu.integrated for gpu in gpus)
    if snapshot.platform.startswith("linux") and all_discrete and fits(predicted, free) and pressed:
        return False
    return None


# -- visible devices ----------------------------------------------------------------------------------------------


def visible_devices(gpus: tuple[Device, ...]) -> Mapping[str, str]:
    """Environment under which a runner sees these GPUs, all of one library, and no others; () hides all."""
    if not gpus:
        return NO_GPUS
    ids = ",".join(gpu.id for gpu in gpus)
    match gpus[0].library:
        case "CUDA":
            return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ids}
        case "ROCm":
            # The other filters would apply on top of the first: give them the positions that remain.
            ordinals = ",".join(str(i) for i in range(len(gpus)))
            rest = ("HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "CUDA_VISIBLE_DEVICES")
            return {"ROCR_VISIBLE_DEVICES": ids, **dict.fromkeys(rest, ordinals)}
        case "Vulkan":
            return {"GGML_VK_VISIBLE_DEVICES": ids}
        case "Metal":
            return {}
