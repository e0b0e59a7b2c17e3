"""Prompts that begin as others did: a second question about one text, and conversations that share an introduction.

llama-server keeps what it does by itself, a copy of finished prompts in host memory included. For the conversations it
also runs with `--slot-prompt-similarity 0`: it then takes the slot that was used longest ago and fetches the best copy
from host memory, instead of a slot that shares the introduction and has to give up another conversation for it.
"""

import itertools
import statistics
from typing import Final

from benchmarks import streaming, vocabulary
from benchmarks.ledger import OLLAMA, SERVER, SERVER_LRU, Limit, Row
from benchmarks.rows.stand import Group, Stand, Subject, subjects_of
from benchmarks.sides import Asking, Side

_SHARED: Final = 1_500
_TAIL: Final = 32
_CONVERSATIONS: Final = 8
_HISTORY: Final = 330
"""Words of each conversation before its first turn that is measured."""
_TURN: Final = 48
"""Words that a turn adds: the answer that was given, and the next question."""
_ANSWER: Final = 8
_SECOND: Final = (Limit(0.8),)
_IN_TURN: Final = (Limit(0.3),)
_seeds = itertools.count(10_000)


async def _second_prompts(stand: Stand) -> None:
    for subject in stand.subjects:
        name = subject.shape.name
        fresh = Row(f"{name} first token, {_SHARED:,} new tokens", "ms", more_is_better=False)
        second = Row(f"{name} first token, {_SHARED:,} known tokens", "ms", more_is_better=False, limits=_SECOND)
        async with stand.loaded(subject.shape):
            for side in stand.sides:
                pairs = [await _pair(side) for _ in range(stand.times(subject.prefix_pairs))]
                stand.ledger.note(fresh, side.party, statistics.median(one for one, _ in pairs))
                stand.ledger.note(second, side.party, statistics.median(two for _, two in pairs))


async def _pair(side: Side) -> tuple[float, float]:
    """Milliseconds to the first token of two prompts with one beginning."""
    shared = vocabulary.prompt(_SHARED, next(_seeds))
    return await _first_token(side, f"{shared} {_words(_TAIL)}"), await _first_token(side, f"{shared} {_words(_TAIL)}")


async def _conversations(stand: Stand) -> None:
    for subject in stand.subjects:
        row = Row(
            f"{subject.shape.name} first token, {_CONVERSATIONS} conversations",
            "ms",
            more_is_better=False,
            limits=_IN_TURN,
        )
        async with stand.loaded(subject.shape):
            for side in stand.sides:
                stand.ledger.note(row, side.party, await _turns(stand, subject, side))


async def _turns(stand: Stand, subject: Subject, side: Side) -> float:
    """Milliseconds to the first token, the median of all turns but the first of each conversation."""
    shared = vocabulary.prompt(_SHARED, next(_seeds))
    told = [f"{shared} {_words(_HISTORY)}" for _ in range(_CONVERSATIONS)]
    times: list[float] = []
    for _ in range(1 + stand.times(subject.turns)):
        for i, prompt in enumerate(told):
            times.append(await _first_token(side, prompt))
            told[i] = f"{prompt} {_words(_TURN)}"
    return statistics.median(times[_CONVERSATIONS:])


def longest_prompt(turns: int) -> int:
    """Words of a conversation's last prompt, and the tokens of its answer."""
    return _SHARED + _HISTORY + turns * _TURN + _ANSWER


async def _first_token(side: Side, prompt: str) -> float:
    answer = await streaming.ask_once(side, Asking(prompt, _ANSWER, returns=True))
    return 1e3 * (answer.first_text - answer.sent)


def _words(count: int) -> str:
    return vocabulary.prompt(count, next(_seeds))


PREFIXES: Final = Group("prefixes", _second_prompts, (SERVER, OLLAMA), subjects_of, slots=4)
CONVERSATIONS: Final = Group(
    "conversations", _conversations, (SERVER, SERVER_LRU, OLLAMA), subjects_of, slots=4, once=True
)
