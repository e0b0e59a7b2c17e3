"""Which GPUs a model goes to."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from scheduler.devices import Device, available
from scheduler.launch import fits

_log = structlog.get_logger(__name__)


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
    best_group = max(groups, key=lambda group: rank(group, system_free))
    if main_gpu is not None:
        named = [group[main_gpu] for group in groups if 0 <= main_gpu < len(group)]
        if not named:
            _log.warning(
                "requested main_gpu is outside the selected GPU group", main_gpu=main_gpu, gpus=len(best_group)
            )
            return Choice(best_group, main_gpu)
        return Choice((max(named, key=lambda gpu: rank((gpu,), system_free)),), 0)
    if not spread:
        holding = [gpu for gpu in gpus if fits(predicted, available((gpu,), system_free).size)]
        if holding:
            return Choice((max(holding, key=lambda gpu: rank((gpu,), system_free)),), 0)
    return Choice(best_group, None)


def rank(group: Sequence[Device], system_free: int) -> tuple[bool, int]:
    """Discrete before integrated, then the most memory."""
    return any(not gpu.integrated for gpu in group), available(group, system_free).size
