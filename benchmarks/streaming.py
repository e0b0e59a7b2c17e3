"""Waves of streamed answers: so many at once, each of a fixed length."""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Final

from benchmarks import vocabulary
from benchmarks.client import Answer, Connection
from benchmarks.errors import HungUp, ModelMismatch
from benchmarks.samples import Stream, Wave
from benchmarks.sides import Asking, Side, connections

_SPECIAL_TOKENS: Final = 1
"""What a tokenizer puts in front of a raw prompt."""
_SETTLE: Final = 0.05
"""Seconds between waves, for ends of connections to arrive."""
_seeds = itertools.count()


@dataclass(frozen=True, slots=True)
class Load:
    """What one measurement asks for."""

    streams: int
    waves: int
    prompt_words: int
    answer_tokens: int


async def run(side: Side, load: Load) -> list[Wave]:
    """The waves, one after the other on the same connections, after one that does not count."""
    open_connections = await connections(side, load.streams)
    try:
        await _wave(side, load, open_connections)
        return [await _wave(side, load, open_connections) for _ in range(load.waves)]
    finally:
        for connection in open_connections:
            connection.close()


async def _wave(side: Side, load: Load, open_connections: list[Connection]) -> Wave:
    await _reopen(side, open_connections)
    answers = await asyncio.gather(*(_ask(side, load, connection) for connection in open_connections))
    return Wave([_stream(side, load, answer) for answer in answers])


async def _ask(side: Side, load: Load, connection: Connection) -> Answer:
    request = side.generation(Asking(vocabulary.prompt(load.prompt_words, next(_seeds)), load.answer_tokens))
    try:
        return await connection.ask("POST", request.path, request.payload)
    except HungUp as error:
        if error.received:
            raise
    (fresh,) = await connections(side, 1)
    try:
        return await fresh.ask("POST", request.path, request.payload)
    finally:
        fresh.close()


async def ask_once(side: Side, asking: Asking) -> Answer:
    """One answer on a connection of its own, which is open before the clock starts. Its length is checked."""
    request = side.generation(asking)
    (connection,) = await connections(side, 1)
    try:
        answer = await connection.ask("POST", request.path, request.payload)
    finally:
        connection.close()
    counts = side.counts(answer.body)
    if counts.answer != asking.tokens:
        raise ModelMismatch(f"{side.party} wrote {counts.answer} tokens; {asking.tokens} were asked for")
    return answer


async def _reopen(side: Side, open_connections: list[Connection]) -> None:
    """Replace what the server has closed: llama-server of this version hangs up after each streamed answer."""
    await asyncio.sleep(_SETTLE)
    for i, connection in enumerate(open_connections):
        if connection.closed:
            (open_connections[i],) = await connections(side, 1)


def _stream(side: Side, load: Load, answer: Answer) -> Stream:
    counts = side.counts(answer.body)
    expected = (load.prompt_words + _SPECIAL_TOKENS, load.answer_tokens)
    if (counts.prompt, counts.answer) != expected:
        raise ModelMismatch(
            f"{side.party} counted {counts.prompt} tokens of the prompt and {counts.answer} of the answer; "
            f"{expected[0]} and {expected[1]} were asked for"
        )
    return Stream(answer.sent, answer.first_text, answer.last, counts.answer, answer.gaps)
