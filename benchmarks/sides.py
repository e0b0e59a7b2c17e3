"""The sides of the comparison, behind one face: load a model, say how to ask for an answer, read the answer's end.

All run with the same number of threads, slots and tokens a slot, sample by the same rules, and get the malloc setting
that our daemon gives its runners (huge pages).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.client import Connection, connect
from benchmarks.ledger import Party
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
_GREEDY: Final[Mapping[str, float]] = {**SAMPLING, "temperature": 0.0}


@dataclass(frozen=True, slots=True)
class Setting:
    """What all sides are started with."""

    threads: int = 2
    slots: int = 16
    slot_tokens: int = 2_048


@dataclass(frozen=True, slots=True)
class Model:
    """A model file, by the name under which a daemon knows it."""

    name: str
    file: Path
    embedding: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """A streamed answer of a fixed length to a prompt that no template touches."""

    prompt: str
    tokens: int
    greedy: bool = False
    returns: bool = False
    """Whether the prompt's beginning comes again, so that a server should remember it."""
    format: Mapping[str, Any] | None = None
    """A JSON schema; only for our own side."""

    @property
    def sampling(self) -> Mapping[str, float]:
        """Options of choosing the next token."""
        return _GREEDY if self.greedy else SAMPLING


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

    party: Party

    @property
    def port(self) -> int: ...
    async def start(self, setting: Setting) -> float:
        """Be ready to load with this setting; seconds until it answered."""
        ...

    async def stop(self) -> None: ...
    async def load(self, model: Model) -> float:
        """Make the model ready; seconds until it was."""
        ...

    async def unload(self) -> None: ...
    def private_bytes(self) -> int:
        """Of all processes that serve the loaded model."""
        ...

    def generation(self, asking: Asking) -> Request: ...
    def counts(self, body: bytes) -> Counts: ...
    def embedding(self, texts: list[str]) -> Request: ...


async def connections(side: Side, count: int) -> list[Connection]:
    """So many kept connections to a side."""
    return [await connect(LOOPBACK, side.port) for _ in range(count)]
