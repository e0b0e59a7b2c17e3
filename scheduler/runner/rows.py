"""Which rows of which sequences make up a batch, and writing them.

Sequences that generate come first with one row each (and one for each token proposed to follow): a prompt, however
long, delays them by no more than a batch. What is left of the batch goes to the prompts that need least, as that brings
most of them to their first token soonest; the oldest prompt gets its share whatever comes after it. Once a batch holds
as many rows as the device computes well together, only whole prompts are added: a piece of one would make the others
wait and bring nobody nearer to its end.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.sequence import Running


class Batch(Protocol):
    """The arrays of `engine.Context`."""

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sequences: NDArray[np.int32]
    outputs: NDArray[np.int8]


_PART_OF_OLDEST: Final = 4

Share = tuple[Running, int]
"""A sequence and the number of its rows in the batch; or, of those that give logits, the first such row."""


def divide(running: Sequence[Running], budget: int, enough: int) -> list[Share]:
    """Shares in the order of `running`, at most `budget` rows together; sequences without a row are left out.

    More than `enough` rows of prompts are no quicker, each, than so many.
    """
    generating = 0
    prompts: list[Running] = []
    for one in running:
        if one.token >= 0:
            generating += 1 + len(one.draft)
        elif one.stretch:
            prompts.append(one)
    if not prompts and generating <= budget:
        return [(one, 1 + len(one.draft)) for one in running if one.token >= 0]
    if generating >= budget:
        _withdraw_drafts(running)
        generating = sum(one.token >= 0 for one in running)
    takes = _prompt_rows(prompts, max(budget - generating, 1), enough)
    shares: list[Share] = []
    for one in running:
        take = min(1 + len(one.draft) if one.token >= 0 else takes.get(one.id, 0), budget)
        if take > 0:
            shares.append((one, take))
            budget -= take
    return shares


def _prompt_rows(prompts: Sequence[Running], spare: int, enough: int) -> dict[int, int]:
    """Rows of each prompt, by the request's id: a part for the oldest, the rest to the shortest first."""
    takes: dict[int, int] = {}
    if not prompts:
        return takes
    oldest = min(prompts, key=_age)
    takes[oldest.id] = min(oldest.stretch, max(spare // _PART_OF_OLDEST, 1))
    spare -= takes[oldest.id]
    taken = takes[oldest.id]
    for one in sorted(prompts, key=_need):
        had = takes.get(one.id, 0)
        more = min(one.stretch - had, spare)
        if taken >= enough and had + more < one.stretch:
            break
        takes[one.id] = had + more
        spare -= more
        taken += more
    return takes


def _age(running: Running) -> int:
    return running.began


def _need(running: Running) -> tuple[int, int]:
    return running.waiting, running.began


def _withdraw_drafts(running: Sequence[Running]) -> None:
    for one in running:
        one.draft = []


def write(batch: Batch, shares: Sequence[Share]) -> list[Share]:
    """Fill the batch; the sequences that will have logits to choose from, with the first row of those."""
    tokens, positions, sequences, outputs = batch.tokens, batch.positions, batch.sequences, batch.outputs
    due: list[Share] = []
    row = 0
    for running, take in shares:
        slot = running.slot
        position = slot.end
        if running.token >= 0:
            due.append((running, row))
            tokens[row] = running.token
            positions[row] = position
            sequences[row] = slot.id
            outputs[row] = 1
            row += 1
            if running.draft:
                end = row + take - 1
                tokens[row:end] = running.draft
                positions[row:end] = range(position + 1, position + take)
                sequences[row:end] = slot.id
                outputs[row:end] = 1
                row = end
            continue
        start = len(slot.tokens)
        end = row + take
        tokens[row:end] = running.fit.tokens[start : start + take]
        positions[row:end] = range(position, position + take)
        sequences[row:end] = slot.id
        outputs[row:end] = running.echo is not None
        if take == running.waiting:
            outputs[end - 1] = 1
            due.append((running, end - 1))
        row = end
    return due
