"""Streamed answers, 1, 4 and 16 at once: decoding, first token, the whole; memory, and the daemon's CPU time."""

import statistics
from collections.abc import Sequence
from typing import Final

from benchmarks import llamabench, proc, streaming
from benchmarks.ledger import BENCH, OLLAMA, OURS, SERVER, Budget, Limit, Row
from benchmarks.rows.stand import MB, Group, Stand, Subject, subjects_of
from benchmarks.samples import Wave
from benchmarks.shapes import LARGE, SMALL
from benchmarks.sides import HUGE_PAGES, Side
from benchmarks.streaming import Load

_TUNABLES: Final = "GLIBC_TUNABLES"
_PROMPT_WORDS: Final = 64
_CPU_LIMIT: Final = 100
_DECODE: Final = {(SMALL.name, 1): 1.2, (SMALL.name, 16): 1.3, (LARGE.name, 16): 1.0}
_FIRST: Final = {(SMALL.name, 1): 0.8, (SMALL.name, 16): 0.6}
_GAP: Final = {(LARGE.name, 1): Limit(0.97, BENCH)}


async def _measure(stand: Stand) -> None:
    for subject in stand.subjects:
        async with stand.loaded(subject.shape):
            _note_huge_pages(stand)
            for streams, waves in subject.waves.items():
                load = Load(streams, stand.times(waves), _PROMPT_WORDS, stand.tokens(subject.answer_tokens))
                for side in stand.sides:
                    await _streams(stand, subject.shape.name, load, side)
                if streams == 1:
                    await _engine_alone(stand, subject)
            row = Row(f"{subject.shape.name} memory", "MB", more_is_better=False)
            for side in stand.sides:
                stand.ledger.note(row, side.party, side.private_bytes() / MB)
    _note_daemon_cpu(stand)


async def _streams(stand: Stand, name: str, load: Load, side: Side) -> None:
    before = proc.cpu_seconds(stand.ours.pid)
    waves = await streaming.run(side, load)
    used = proc.cpu_seconds(stand.ours.pid) - before
    for row, value in _values(name, load.streams, waves):
        stand.ledger.note(row, side.party, value)
    if side.party == OURS:
        tokens = (load.waves + 1) * load.streams * load.answer_tokens
        stand.daemon_cpu.setdefault((name, load.streams), []).append((used, tokens))


def _values(name: str, streams: int, waves: Sequence[Wave]) -> list[tuple[Row, float]]:
    key, words = (name, streams), _counted(streams)
    first = Row(f"{name} first token, {words}", "ms", more_is_better=False, limits=_limits(_FIRST.get(key)))
    whole = Row(f"{name} prompts and answers, {words}", "tok/s", more_is_better=True)
    values = [
        (_decode_row(name, streams), statistics.median(wave.decode_rate for wave in waves)),
        (first, 1e3 * statistics.median(wave.first_token for wave in waves)),
        (whole, statistics.median(wave.throughput for wave in waves)),
    ]
    rates = [rate for wave in waves if (rate := wave.gap_rate) is not None]
    if key in _GAP and rates:
        values.append((_gap_row(name, streams), statistics.median(rates)))
    return values


async def _engine_alone(stand: Stand, subject: Subject) -> None:
    """llama-bench, for the rows of one stream."""
    name = subject.shape.name
    rate = await llamabench.decode_rate(
        stand.programs,
        stand.model(subject.shape).file,
        threads=stand.setting.threads,
        depth=_PROMPT_WORDS,
        tokens=stand.tokens(subject.answer_tokens),
    )
    stand.ledger.note(_decode_row(name, 1), BENCH, rate)
    if (name, 1) in _GAP:
        stand.ledger.note(_gap_row(name, 1), BENCH, rate)


def _note_huge_pages(stand: Stand) -> None:
    values = {proc.environment(pid).get(_TUNABLES, "not set") for pid in stand.ours.runners()}
    stand.ledger.facts["malloc, our runner"] = ", ".join(sorted(values))
    stand.ledger.facts["malloc, the peers"] = HUGE_PAGES[_TUNABLES]


def _note_daemon_cpu(stand: Stand) -> None:
    """Over all rounds so far."""
    budgets = stand.ledger.budgets
    for (name, streams), spent in stand.daemon_cpu.items():
        seconds, tokens = map(sum, zip(*spent, strict=True))
        budget = f"daemon, CPU a streamed token, {name}, {_counted(streams)}"
        budgets[:] = [one for one in budgets if one.name != budget]
        budgets.append(Budget(budget, "µs", 1e6 * seconds / tokens, _CPU_LIMIT))


def _decode_row(name: str, streams: int) -> Row:
    limits = _limits(_DECODE.get((name, streams)))
    return Row(f"{name} decode, {_counted(streams)}", "tok/s", more_is_better=True, limits=limits)


def _gap_row(name: str, streams: int) -> Row:
    limits = (_GAP[name, streams],)
    return Row(f"{name} decode by the median gap, {_counted(streams)}", "tok/s", more_is_better=True, limits=limits)


def _limits(ratio: float | None) -> tuple[Limit, ...]:
    return () if ratio is None else (Limit(ratio),)


def _counted(streams: int) -> str:
    return f"{streams} stream{'s' if streams > 1 else ''}"


STREAMS: Final = Group("streams", _measure, (SERVER, OLLAMA), subjects_of)
