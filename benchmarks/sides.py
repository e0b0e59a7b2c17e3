"""The two sides of the comparison, behind one face: load a model, say how to ask for an answer, read the answer's end.

Both run with the same number of threads, slots and tokens a slot, sample by the same rules, and get the malloc setting
that our daemon gives its runners (huge pages).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.client import Connection, connect
from benchmarks.processes import LOOPBACK

HUGE_PAGES: Final = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""What `scheduler.environment` sets for runners. It is worth up to 1.5 times the speed, so the peers get it too."""
SAMPLING: Final[Mapping[str, float]] = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What both sides are started with."""

    threads: int = 2
    slots: int = 16
    slot_tokens: int = 2_048


@dataclass(frozen=True, slots=True)
class Model:
    """A model file, by the name under which our daemon knows it."""

    name: str
    file: Path
    embedding: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """Path and JSON of a request."""

    path: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens by the server's own count."""

    prompt: int
    answer: int


class Side(Protocol):
    """A server that answers for one model at a time."""

    name: str

    @property
    def port(self) -> int: ...
    async def load(self, model: Model) -> float:
        """Make the model ready; seconds until it was."""
        ...

    async def unload(self) -> None: ...
    def private_bytes(self) -> int:
        """Of all processes that serve the loaded model."""
        ...

    def generation(self, prompt: str, tokens: int) -> Request: ...
    def counts(self, body: bytes) -> Counts: ...
    def embedding(self, texts: list[str]) -> Request: ...


async def connections(side: Side, count: int) -> list[Connection]:
    """So many kept connections to a side."""
    return [await connect(LOOPBACK, side.port) for _ in range(count)]
