"""Everything behind the server's routes, scripted: a scheduler whose leases are on a runner that says what it is told.

A script is a list of passes, one for each generation; a pass is a list of chunks and exceptions. Where a pass ends
without `done`, the generation waits until somebody closes it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from starlette.types import ASGIApp, Message

from modelstore.create import create
from modelstore.store import Store
from scheduler import frames
from scheduler.errors import RunnerDied, RunnerFailed
from scheduler.lease import Lease, Places, Tenancy
from scheduler.ports import Chunk, EmbedFields, GenerateFields, Runner
from scheduler.requests import LeaseRequest, LoadedModel
from tests.unit.modelstore import tinygguf
from tests.unit.modelstore.shop import no_pull, request_of

LOADED = frames.Loaded(
    num_ctx=64,
    num_ctx_train=128,
    vocab_size=256,
    embedding_width=2,
    add_bos=True,
    bos="<s>",
    eos="</s>",
    can_shift=True,
    buffers=[],
    layers_offloaded=0,
    layers_total=0,
)


def say(*texts: str) -> Chunk:
    """A delta for each text, all of which arrive together."""
    return Chunk([frames.Delta(1, text) for text in texts], None)


def say_probably(text: str, *logprobs: frames.Logprob) -> Chunk:
    """One delta with the log-probabilities of its tokens."""
    return Chunk([frames.Delta(1, text, list(logprobs))], None)


def done(
    text: str = "", *, reason: str = "stop", context: list[int] | None = None, prompt: int = 5, tokens: int = 7
) -> Chunk:
    """The end, with a last text."""
    end = frames.Done(1, cast(Any, reason), prompt, 2, 30, tokens, 40, context=context)
    return Chunk([frames.Delta(1, text)] if text else [], end)


class ScriptedStream:
    """One generation."""

    def __init__(self, script: Sequence[Chunk | Exception]) -> None:
        self._script = list(script)
        self._end = asyncio.Event()
        self.dry = asyncio.Event()
        """Everything has been said, and the reader waits."""

    @property
    def closed(self) -> bool:
        return self._end.is_set()

    async def next(self) -> Chunk:
        if not self._script:
            self.dry.set()
            await self._end.wait()
            raise RunnerFailed("request canceled", 499)
        item = self._script.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self._end.set()


class ScriptedRunner:
    """A token is a character, and 1 what belongs in front. Implements what leases need of `scheduler.ports.Runner`."""

    def __init__(self) -> None:
        self.script: list[list[Chunk | Exception]] = []
        self.asked: list[GenerateFields] = []
        self.streams: list[ScriptedStream] = []
        self.started = asyncio.Event()
        """A generation has begun."""
        self.embeds: list[EmbedFields] = []
        self.embedded: frames.Embedded | Exception = frames.Embedded(1, [b"[0.6,0.8]"], 3)
        self.ranks: list[tuple[str, list[str]]] = []
        """Queries and documents."""
        self.ranked: frames.Ranked | Exception = frames.Ranked(1, [], 0)
        self.dead: RunnerDied | None = None

    def generate(self, fields: GenerateFields) -> ScriptedStream:
        stream = ScriptedStream(self.script.pop(0) if self.script else ())
        self.asked.append(fields)
        self.streams.append(stream)
        self.started.set()
        return stream

    async def embed(self, fields: EmbedFields) -> frames.Embedded:
        self.embeds.append(fields)
        if isinstance(self.embedded, Exception):
            raise self.embedded
        return self.embedded

    async def tokenize(self, texts: list[str], *, add_special: bool, count_only: bool) -> frames.Tokens:
        if self.dead:
            raise self.dead
        tokens = [[1] * add_special + [ord(letter) for letter in text] for text in texts]
        return frames.Tokens(1, [len(one) for one in tokens], [] if count_only else tokens)

    async def rank(self, query: str, documents: list[str], *, truncate: bool) -> frames.Ranked:
        self.ranks.append((query, documents))
        if isinstance(self.ranked, Exception):
            raise self.ranked
        return self.ranked

    async def detokenize(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))


@dataclass
class FakeScheduler:
    """Shows what it is given, gives out leases at once (unless held or refused), and notes what happens to them."""

    rows: list[LoadedModel] = field(default_factory=list[LoadedModel])
    stops: list[float] = field(default_factory=list[float])
    on_stop: Callable[[], None] = lambda: None
    runner: ScriptedRunner = field(default_factory=ScriptedRunner)
    info: frames.Loaded = LOADED
    refusal: Exception | None = None
    held: asyncio.Event | None = None
    """Leases wait for it."""
    asked: list[LeaseRequest] = field(default_factory=list[LeaseRequest])
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    released: int = 0
    """How often the scheduler was told that a lease has ended."""
    expired: list[str] = field(default_factory=list[str])

    def loaded(self) -> list[LoadedModel]:
        return self.rows

    async def stop(self, drain: float = 0.0) -> None:
        self.stops.append(drain)
        self.on_stop()

    async def lease(self, request: LeaseRequest) -> Lease:
        self.asked.append(request)
        self.was_asked.set()
        if self.held is not None:
            await self.held.wait()
        if self.refusal is not None:
            raise self.refusal
        return self.grant(shift=request.shift is not False)

    def grant(self, *, shift: bool = True) -> Lease:
        """A lease."""
        runner = cast(Runner, self.runner)
        return Lease(Tenancy(runner, self.info, Places(1), 1, shift, self._on_release, lambda: None))

    def expire(self, key: str) -> None:
        self.expired.append(key)

    def _on_release(self) -> None:
        self.released += 1

    @property
    def balanced(self) -> bool:
        """One lease was given out, and given back once."""
        return (len(self.asked), self.released) == (1, 1)


def install(store: Store, name: str, weights: bytes | None = None, **body: Any) -> None:
    """Create a model on made-up weights; `body` is that of /api/create."""
    digest = store.blobs.put(tinygguf.model() if weights is None else weights)
    create(
        store,
        request_of({"model": name, "files": {"weights.gguf": str(digest)}, **body}),
        lambda event: None,
        pull=no_pull,
    )


class Caller:
    """One request whose client can hang up."""

    def __init__(self, app: ASGIApp, path: str, **body: Any) -> None:
        self._app = app
        self._path = path
        self._body = json.dumps(body).encode()
        self.method = "POST"
        self._read = False
        self.gone = asyncio.Event()
        self.sent: list[Message] = []
        self.got_line = asyncio.Event()

    def start(self) -> asyncio.Task[None]:
        """Send the request."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:11434")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 11434),
        }

        async def call() -> None:
            await self._app(scope, self._receive, self._send)

        return asyncio.create_task(call())

    async def _receive(self) -> Message:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if message.get("body"):
            self.got_line.set()
