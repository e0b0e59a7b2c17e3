"""Who may wait, and who is served next: arrival between models, with bounded overtaking.

The first request of the queue is the one worked on. A request whose model is loaded need not wait for it, unless that
model must leave to make room for the first one: then it may pass only while the first has been passed by fewer than
twice the model's width, so that a steady stream to one model cannot starve another.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

OVERTAKES_PER_PLACE: Final = 2


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in the queue."""

    key: str
    width: int | None
    """Parallel requests of its model, if that is loaded as this request needs it; None: it must be loaded."""


def admits(waiting: int, capacity: int) -> bool:
    """Whether one more may join `waiting` requests, the first of which is being worked on and does not count."""
    return capacity > 0 and waiting <= capacity


def passes(width: int, *, contested: bool, overtaken: int) -> bool:
    """Whether a request for a loaded model may go before the first one, which was `overtaken` so often already."""
    return not contested or overtaken < OVERTAKES_PER_PLACE * width


def servable(queue: Sequence[Waiting], *, victims: Collection[str] | None, overtaken: int) -> tuple[list[int], int]:
    """Positions that can be served now, in order, and how often the first of the queue has been overtaken then.

    `victims`: keys of the models that must leave for the first request; None when that is not known yet, which counts
    as 'any'.
    """
    chosen: list[int] = []
    for i, one in enumerate(queue):
        if one.width is None:
            continue
        contested = i > 0 and (victims is None or one.key in victims)
        if passes(one.width, contested=contested, overtaken=overtaken):
            chosen.append(i)
            overtaken += contested
    return chosen, overtaken
