"""Weights in another type: fewer bits, or another width of their floating point.

llama.cpp does it, in a process of its own that is started for the purpose: native code that meets a damaged file may
abort, and there is no other way to stop it than to kill it.

    types      the names of the types
    recipe     what the engine is told
    bench      the directory in which it works
    process    the process, as the daemon sees it; message: what the two say to each other
    worker     the process from inside, over engine, the only module here that touches llama.cpp
    outcome    whether the result is what it should be
"""

import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from modelstore.ggufheader import Header
from modelstore.quantize.bench import RESULT, Bench
from modelstore.quantize.errors import QuantizeFailed
from modelstore.quantize.message import Failed, Finished, Order, Sized, Step
from modelstore.quantize.outcome import check
from modelstore.quantize.process import COMMAND, Quantizer
from modelstore.quantize.recipe import recipe_for

__all__ = ["Tell", "quantized"]

PAUSE: Final = 0.5
"""Seconds after which is said again how far it is, so that whoever listens can end it."""

Tell: TypeAlias = Callable[[float], None]
"""Takes the share that is done, up to 1. What it raises ends the work."""


@contextmanager
def quantized(
    headers: Sequence[Header], target: str, work: Path, tell: Tell, *, command: tuple[str, ...] = COMMAND
) -> Generator[Path]:
    """A file with the weights in another type, which is gone when the block ends unless it has been moved away.

    `headers` are of the weights, all shards of them in their order; `target` is a name of `types.SUPPORTED`; `work` is
    the directory in which to make one. `tell` is called once the engine has accepted the weights and there is room for
    the result. Raises `QuantizeFailed`, `DiskFull`, `OSError`, and what `tell` raises.
    """
    recipe = recipe_for(target, headers)
    with Bench(work, headers) as bench:
        order = Order(bench.sources, RESULT, recipe.number, recipe.tensors, recipe.keys, _threads())
        with Quantizer(bench.directory, order, command) as quantizer:
            sys.audit("llamad.quantize.started")
            _carry_out(quantizer, bench, tell)
            sys.audit("llamad.quantize.finished")
            check(headers, bench.result, target)
            yield bench.result


def _carry_out(quantizer: Quantizer, bench: Bench, tell: Tell) -> None:
    share: float | None = None
    for message in quantizer.messages(PAUSE):
        match message:
            case Sized(bytes=size):
                bench.require(size)
                share = 0.0
            case Step(tensor=tensor, tensors=tensors):
                share = tensor / tensors
            case Failed(reason=reason):
                bench.check_room()
                raise QuantizeFailed(reason)
            case Finished():
                tell(1.0)
                return
            case None:
                pass
        if share is not None:
            tell(share)
    bench.check_room()
    raise QuantizeFailed(quantizer.last_words())


def _threads() -> int:
    """As many as there are processors for this process."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
