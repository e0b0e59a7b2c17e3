"""What is given up, step by step, when a load runs out of memory.

the projector goes to the host's memory
→ idle models are unloaded
→ an automatic context is halved, again and again, down to 4,096 tokens (one that was asked for never is)
→ fewer layers go to the GPU: two thirds, one third, none (unless their number was asked for)
→ the error
"""

from dataclasses import dataclass, replace
from typing import Final

MIN_AUTO_CONTEXT: Final = 4096
_LAYER_THIRDS: Final = (3, 2, 1, 0)


@dataclass(frozen=True, slots=True)
class Ladder:
    """How far down one load is."""

    clear: bool = False
    """Idle models must go first."""
    num_ctx: int | None = None
    """Context in place of the automatic one."""
    cuts: int = 0
    """Times the layers on the GPU were cut."""
    projector_on_host: bool = False

    def layers(self, count: int) -> int:
        """Of `count` layers, those that still go to the GPU."""
        return count * _LAYER_THIRDS[self.cuts] // 3

    def reductions(self, num_ctx: int) -> tuple[str, ...]:
        """What was given up of a load that was to have `num_ctx` tokens, in words."""
        notes: list[str] = []
        if self.num_ctx is not None:
            notes.append(f"context {num_ctx} → {self.num_ctx} tokens")
        if self.cuts:
            notes.append(f"layers on the GPU: {_LAYER_THIRDS[self.cuts]} thirds of those that should fit")
        if self.projector_on_host:
            notes.append("projector on the CPU")
        return tuple(notes)


UNREDUCED: Final = Ladder()


def halved(ladder: Ladder, num_ctx: int) -> Ladder | None:
    """One step down for an automatic context of `num_ctx` tokens."""
    if num_ctx <= MIN_AUTO_CONTEXT:
        return None
    return replace(ladder, num_ctx=max(num_ctx // 2, MIN_AUTO_CONTEXT))


def next_rung(
    ladder: Ladder,
    *,
    projector_on_gpu: bool,
    idle_others: bool,
    num_ctx: int,
    num_ctx_auto: bool,
    gpu_layers: int,
    num_gpu_auto: bool,
) -> Ladder | None:
    """What to try after a load with `num_ctx` and `gpu_layers` ran out of memory; None when nothing is left."""
    if projector_on_gpu:
        return replace(ladder, projector_on_host=True)
    if idle_others and not ladder.clear:
        return replace(ladder, clear=True)
    if num_ctx_auto and (lower := halved(ladder, num_ctx)):
        return lower
    if num_gpu_auto and gpu_layers > 0 and ladder.cuts < len(_LAYER_THIRDS) - 1:
        return replace(ladder, cuts=ladder.cuts + 1)
    return None
