"""Embeddings: large batches one after another, and many clients with one text each."""

import asyncio
import itertools
import statistics
from collections.abc import Sequence
from typing import Final

from benchmarks import vocabulary
from benchmarks.client import Connection
from benchmarks.ledger import OLLAMA, SERVER, Limit, Row
from benchmarks.rows.stand import Group, Stand
from benchmarks.shapes import MINILM, Shape
from benchmarks.sides import Side, connections

_WORDS: Final = 16
_BATCHES: Final = {32: (), 256: (Limit(1.15), Limit(2.0, OLLAMA))}
_WAVES: Final = 3
_CLIENTS: Final = 16
_TEXTS_A_CLIENT: Final = 12
_AT_ONCE: Final = (Limit(1.1),)
_seeds = itertools.count()


async def _measure(stand: Stand) -> None:
    async with stand.loaded(MINILM):
        for texts, limits in _BATCHES.items():
            row = Row(f"{MINILM.name}, {texts} texts a request", "texts/s", more_is_better=True, limits=limits)
            for side in stand.sides:
                stand.ledger.note(row, side.party, await _batch_rate(side, texts, stand.times(_WAVES)))
        row = Row(f"{MINILM.name}, {_CLIENTS} clients", "texts/s", more_is_better=True, limits=_AT_ONCE)
        for side in stand.sides:
            stand.ledger.note(row, side.party, await _client_rate(side, stand.times(_WAVES)))


async def _batch_rate(side: Side, texts: int, waves: int) -> float:
    """Texts a second, one request after another; the first does not count."""
    (connection,) = await connections(side, 1)
    try:
        rates = [await _timed(side, connection, texts) for _ in range(1 + waves)]
        return statistics.median(rates[1:])
    finally:
        connection.close()


async def _timed(side: Side, connection: Connection, texts: int) -> float:
    request = side.embedding(_texts(texts))
    answer = await connection.ask("POST", request.path, request.payload)
    return texts / (answer.last - answer.sent)


async def _client_rate(side: Side, waves: int) -> float:
    """Texts a second of all clients, each of whom asks again as soon as it is answered."""
    clients = await connections(side, _CLIENTS)
    try:
        rates: list[float] = []
        for _ in range(1 + waves):
            times = await asyncio.gather(*(_client(side, connection) for connection in clients))
            began, ended = min(sent for sent, _ in times), max(last for _, last in times)
            rates.append(_CLIENTS * _TEXTS_A_CLIENT / (ended - began))
        return statistics.median(rates[1:])
    finally:
        for connection in clients:
            connection.close()


async def _client(side: Side, connection: Connection) -> tuple[float, float]:
    """When its first request was sent, and when its last answer was here."""
    answers = [
        await connection.ask("POST", request.path, request.payload)
        for request in [side.embedding(_texts(1)) for _ in range(_TEXTS_A_CLIENT)]
    ]
    return answers[0].sent, answers[-1].last


def _texts(count: int) -> list[str]:
    return [vocabulary.prompt(_WORDS, next(_seeds)) for _ in range(count)]


def _shapes(stand: Stand) -> Sequence[Shape]:
    return (MINILM,)


EMBEDDINGS: Final = Group("embeddings", _measure, (SERVER, OLLAMA), _shapes)
