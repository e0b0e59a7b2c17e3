"""One run: both servers, all models, in turn."""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import footprint, llamabench, looppass, proc, streaming, vocabulary
from benchmarks.folders import Folders
from benchmarks.ggufs import model_file
from benchmarks.ledger import BENCH, OURS, SERVER, Budget, Ledger, Party, Row
from benchmarks.llamad import Llamad
from benchmarks.llamaserver import LlamaServer
from benchmarks.peers import Peers
from benchmarks.shapes import LARGE, MINILM, SMALL, BertShape, LlamaShape, Shape
from benchmarks.sides import HUGE_PAGES, Model, Setting, Side, connections
from benchmarks.streaming import Load

MB: Final = 1e6
_TUNABLES: Final = "GLIBC_TUNABLES"
_SETTLE: Final = 5.0
"""Seconds after the daemon's start at which its memory is looked at."""
_EMBEDDED_TEXTS: Final = 32
_EMBEDDED_WORDS: Final = 16
_EMBEDDING_WAVES: Final = 4
_PASSES: Final = 800
"""Of the runner's loop, to see what it costs beside the engine; prompt and answer must fit into a slot."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and what is asked of it."""

    shape: LlamaShape
    prompt_words: int
    answer_tokens: int
    waves: dict[int, int]
    """Streams at once → how often."""


SUBJECTS: Final = (
    Subject(SMALL, prompt_words=64, answer_tokens=256, waves={1: 8, 4: 4, 16: 2}),
    Subject(LARGE, prompt_words=64, answer_tokens=64, waves={1: 2, 4: 1, 16: 1}),
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of the whole is to be run."""

    rounds: int = 3
    subjects: Sequence[Subject] = SUBJECTS
    embedding: bool = True
    idle_seconds: float = 30.0


class Session:
    """Measures into a ledger."""

    def __init__(self, peers: Peers, folders: Folders, setting: Setting, say: Callable[[str], None]) -> None:
        self.ledger = Ledger()
        self._peers = peers
        self._folders = folders
        self._setting = setting
        self._say = say
        self._llamad = Llamad(setting, folders.runs / "llamad")
        self._server = LlamaServer(peers, setting, folders.runs / "llama-server")
        self._daemon_cpu: dict[tuple[str, int], list[tuple[float, int]]] = {}

    async def run(self, wishes: Wishes) -> Ledger:
        """Everything. Raises `BenchmarkError`."""
        self._llamad.empty()
        try:
            await self._fill_store(wishes)
            await self._resting_daemon(wishes.idle_seconds)
            for round in range(wishes.rounds):
                sides = self._in_turn(round)
                for subject in wishes.subjects:
                    self._say(f"round {round + 1} of {wishes.rounds}: {subject.shape.name}")
                    await self._generation(subject, sides)
                if wishes.embedding:
                    self._say(f"round {round + 1} of {wishes.rounds}: {MINILM.name}")
                    await self._embedding(sides)
        finally:
            await self._server.unload()
            await self._llamad.stop()
        self._note_daemon_cpu()
        for subject in wishes.subjects[:1]:
            await asyncio.to_thread(self._runner_budgets, subject)
        return self.ledger

    def _in_turn(self, round: int) -> list[tuple[Party, Side]]:
        sides: list[tuple[Party, Side]] = [(OURS, self._llamad), (SERVER, self._server)]
        return sides if round % 2 == 0 else sides[::-1]

    # -- before any model

    async def _fill_store(self, wishes: Wishes) -> None:
        """In a life of the daemon that is not measured: what an upload leaves behind is no daemon's resting state."""
        self._say("filling the daemon's store")
        await self._llamad.start()
        for subject in wishes.subjects:
            await self._llamad.add(self._model(subject.shape))
        if wishes.embedding:
            await self._llamad.add(self._model(MINILM))
        await self._llamad.stop()

    async def _resting_daemon(self, idle: float) -> None:
        self._say(f"the daemon at rest, {_SETTLE + idle:.0f} s")
        seconds = await self._llamad.start()
        await asyncio.sleep(_SETTLE)
        self._budget("daemon, private resident 5 s after start", "MB", proc.private_bytes(self._llamad.pid) / MB, 90)
        spares = [proc.private_bytes(pid) / MB for pid in self._llamad.runners()]
        self.ledger.facts["spare runner, private resident"] = ", ".join(f"{size:.0f} MB" for size in spares) or "none"
        self.ledger.facts["daemon answers after"] = f"{seconds:.2f} s"
        before = proc.cpu_seconds(self._llamad.pid)
        await asyncio.sleep(idle)
        used = proc.cpu_seconds(self._llamad.pid) - before
        self._budget("daemon, CPU while idle", "%", 100 * used / idle, 0.1)

    # -- generation

    async def _generation(self, subject: Subject, sides: list[tuple[Party, Side]]) -> None:
        name, model = subject.shape.name, self._model(subject.shape)
        for party, side in sides:
            self.ledger.note(Row(f"{name} load", "ms", more_is_better=False), party, 1e3 * await side.load(model))
        self._note_huge_pages()
        for streams, waves in subject.waves.items():
            load = Load(streams, waves, subject.prompt_words, subject.answer_tokens)
            for party, side in sides:
                await self._streams(name, load, party, side)
            if streams == 1:
                await self._engine_alone(subject, model)
        for party, side in sides:
            row = Row(f"{name} memory", "MB", more_is_better=False)
            self.ledger.note(row, party, side.private_bytes() / MB)
        for _, side in sides:
            await side.unload()

    async def _streams(self, name: str, load: Load, party: Party, side: Side) -> None:
        before = proc.cpu_seconds(self._llamad.pid)
        waves = await streaming.run(side, load)
        used = proc.cpu_seconds(self._llamad.pid) - before
        decode = _decode_row(name, load.streams)
        first = Row(f"{name} first token, {_streams(load.streams)}", "ms", more_is_better=False)
        whole = Row(f"{name} prompts and answers, {_streams(load.streams)}", "tok/s", more_is_better=True)
        self.ledger.note(decode, party, statistics.median(wave.decode_rate for wave in waves))
        self.ledger.note(first, party, 1e3 * statistics.median(wave.first_token for wave in waves))
        self.ledger.note(whole, party, statistics.median(wave.throughput for wave in waves))
        if party == OURS:
            tokens = (load.waves + 1) * load.streams * load.answer_tokens
            self._daemon_cpu.setdefault((name, load.streams), []).append((used, tokens))

    async def _engine_alone(self, subject: Subject, model: Model) -> None:
        rate = await llamabench.decode_rate(
            self._peers,
            model.file,
            threads=self._setting.threads,
            depth=subject.prompt_words,
            tokens=subject.answer_tokens,
        )
        self.ledger.note(_decode_row(subject.shape.name, 1), BENCH, rate)

    # -- embeddings

    async def _embedding(self, sides: list[tuple[Party, Side]]) -> None:
        model = self._model(MINILM)
        row = Row(f"{MINILM.name} embeddings, {_EMBEDDED_TEXTS} texts a request", "texts/s", more_is_better=True)
        for party, side in sides:
            await side.load(model)
            self.ledger.note(row, party, await _embedding_rate(side))
        for _, side in sides:
            await side.unload()

    # -- budgets

    def _budget(self, name: str, unit: str, value: float, limit: float) -> None:
        self.ledger.budgets.append(Budget(name, unit, value, limit))

    def _note_huge_pages(self) -> None:
        values = {proc.environment(pid).get(_TUNABLES, "not set") for pid in self._llamad.runners()}
        self.ledger.facts["malloc, our runner"] = ", ".join(sorted(values))
        self.ledger.facts["malloc, llama-server and llama-bench"] = HUGE_PAGES[_TUNABLES]

    def _note_daemon_cpu(self) -> None:
        for (name, streams), spent in self._daemon_cpu.items():
            seconds, tokens = map(sum, zip(*spent, strict=True))
            self._budget(
                f"daemon, CPU a streamed token, {name}, {_streams(streams)}", "µs", 1e6 * seconds / tokens, 100
            )

    def _runner_budgets(self, subject: Subject) -> None:
        self._say("the runner's loop beside the engine")
        name, model = subject.shape.name, self._model(subject.shape)
        cost = looppass.measure(model.file, self._setting, streams=1, passes=_PASSES)
        self._budget(f"runner, pass beside the engine, {name}, 1 stream", "µs", cost.rest, 60)
        wide = looppass.measure(model.file, self._setting, streams=self._setting.slots, passes=_PASSES // 4)
        self.ledger.facts[f"runner, pass beside the engine, {name}, {_streams(wide.streams)}"] = (
            f"{wide.rest:.0f} µs ({wide.decode:.0f} in llama_decode, {wide.sample:.0f} in samplers)"
        )
        self.ledger.facts[f"runner, pass beside the engine, {name}, 1 stream"] = (
            f"{cost.rest:.0f} µs ({cost.decode:.0f} in llama_decode, {cost.sample:.0f} in samplers)"
        )
        size = footprint.measure(model.file, self._setting)
        self._budget("runner, private resident above the engine's buffers", "MB", size.beyond / MB, 80)
        self.ledger.facts["runner, private resident / engine's buffers"] = (
            f"{size.private / MB:.0f} MB / {size.engine / MB:.0f} MB"
        )

    # -- models

    def _model(self, shape: Shape) -> Model:
        return Model(shape.name, model_file(shape, self._folders), embedding=isinstance(shape, BertShape))


def _decode_row(name: str, streams: int) -> Row:
    return Row(f"{name} decode, {_streams(streams)}", "tok/s", more_is_better=True)


def _streams(count: int) -> str:
    return f"{count} stream{'s' if count > 1 else ''}"


async def _embedding_rate(side: Side) -> float:
    """Texts a second, one request after another."""
    (connection,) = await connections(side, 1)
    try:
        rates: list[float] = []
        for wave in range(1 + _EMBEDDING_WAVES):
            seeds = range(wave * _EMBEDDED_TEXTS, (wave + 1) * _EMBEDDED_TEXTS)
            request = side.embedding([vocabulary.prompt(_EMBEDDED_WORDS, seed) for seed in seeds])
            answer = await connection.ask("POST", request.path, request.payload)
            rates.append(_EMBEDDED_TEXTS / (answer.last - answer.sent))
        return statistics.median(rates[1:])
    finally:
        connection.close()
