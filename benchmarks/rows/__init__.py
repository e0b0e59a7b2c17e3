"""Rows of the comparison, in groups that can be run on their own.

stand.py        what a group is given: the sides in turn, models, the ledger
loads.py        loads           from the request that needs a model until it is ready
streams.py      streams         decoding, first tokens, memory; the daemon's CPU time
embeddings.py   embeddings      batches, and many clients at once
formats.py      formats         decoding under a JSON schema against decoding freely
copies.py       copies          proposals of tokens where the answer repeats the prompt
prefixes.py     prefixes        a second prompt with the same beginning
                conversations   eight of them on four slots
ours.py         rest, loop      budgets of ours alone
"""

from typing import Final

from benchmarks.rows import copies, embeddings, formats, loads, ours, prefixes, streams
from benchmarks.rows.stand import Group

GROUPS: Final[tuple[Group, ...]] = (
    ours.REST,
    loads.LOADS,
    streams.STREAMS,
    embeddings.EMBEDDINGS,
    formats.FORMATS,
    copies.COPIES,
    prefixes.PREFIXES,
    prefixes.CONVERSATIONS,
    ours.LOOP,
)
"""In the order in which they are run."""
