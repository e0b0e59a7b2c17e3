"""Cold load: from the request that needs a model until it is ready. The file is in the page cache."""

from typing import Final

from benchmarks.ledger import OLLAMA, SERVER, Limit, Row
from benchmarks.rows.stand import Group, Stand, subjects_of
from benchmarks.shapes import LARGE, SMALL

_LIMITS: Final = {SMALL.name: (Limit(0.3),), LARGE.name: (Limit(0.6),)}
_LOADS: Final = 2


async def _measure(stand: Stand) -> None:
    for subject in stand.subjects:
        name, model = subject.shape.name, stand.model(subject.shape)
        row = Row(f"{name} load", "ms", more_is_better=False, limits=_LIMITS.get(name, ()))
        for _ in range(stand.times(_LOADS)):
            for side in stand.sides:
                stand.ledger.note(row, side.party, 1e3 * await side.load(model))
            for side in stand.sides:
                await side.unload()


LOADS: Final = Group("loads", _measure, (SERVER, OLLAMA), subjects_of)
