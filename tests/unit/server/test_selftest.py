"""The trial run of the native code at start, with runners made up for the purpose."""

import sys
from pathlib import Path

import pytest
import structlog.testing

from server import selftest
from server.build import Build
from server.remedy import Processor

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.anyio

HEAD = """
import os, signal, sys
sys.path.insert(0, ROOT)
from scheduler import frames
reader = frames.command_reader()
def ask():
    while data := sys.stdin.buffer.read1(65536):
        for frame in reader.feed(data):
            return frame
    sys.exit(9)
def answer(frame):
    sys.stdout.buffer.write(frames.encode(frame)); sys.stdout.buffer.flush()
def loaded():
    assert isinstance(ask(), frames.Load)
    answer(frames.Loaded(256, 256, 10, 4, False, "", "", True, [], 0, 0))
    return ask()
def done(n):
    return frames.Step([], [frames.Done(1, "length", 3, 0, 1, n, 1)])
""".replace("ROOT", repr(str(ROOT)))


async def decode(body: str, timeout: float = 60.0) -> selftest.Verdict:
    return await selftest.decode(Path("model.gguf"), (sys.executable, "-c", HEAD + body), timeout)


async def test_a_runner_that_answers_has_passed() -> None:
    verdict = await decode("asked = loaded()\nassert asked.num_predict == 32\nanswer(done(asked.num_predict))\nask()")
    assert verdict == selftest.Verdict(tokens=32)
    assert verdict.passed


async def test_a_model_that_ends_early_has_passed_too() -> None:
    assert (await decode("loaded(); answer(done(0))")).passed


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT"])
async def test_a_runner_that_dies_of_a_signal_has_not(name: str) -> None:
    body = f"loaded(); print('computing', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.{name}); ask()"
    verdict = await decode(body)
    assert not verdict.passed
    assert verdict.signal == getattr(selftest.signal, name)
    assert verdict.last_line == "computing"


async def test_death_while_loading_counts_as_well() -> None:
    assert (await decode("os.kill(os.getpid(), signal.SIGILL); ask()")).signal == selftest.signal.SIGILL


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("ask(); answer(frames.LoadFailed('bad file'))", "bad file"),
        ("loaded(); answer(frames.Failed(1, 'bad prompt'))", "bad prompt"),
        ("loaded(); sys.exit(3)", "ended with status 3"),
        ("loaded(); sys.exit(0)", "ended with status 0"),
        ("print('no frames at all', flush=True); ask()", "does not speak our frames"),
    ],
)
async def test_failures_in_words(body: str, error: str) -> None:
    verdict = await decode(body)
    assert not verdict.passed
    assert error in verdict.error


async def test_a_runner_that_hangs_is_ended() -> None:
    assert (await decode("loaded(); signal.pause()", timeout=0.0)).error == "no answer within 0 s"


async def test_a_runner_that_cannot_be_started() -> None:
    verdict = await selftest.decode(Path("model.gguf"), ("/there/is/no/such/program",))
    assert "cannot start the runner" in verdict.error


def test_a_build_is_tried_once_on_each_processor(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    here, there = Processor("a", frozenset()), Processor("b", frozenset())
    marks = {
        selftest.mark_path(Build(key="1"), here, environ),
        selftest.mark_path(Build(key="2"), here, environ),
        selftest.mark_path(Build(key="1"), there, environ),
        selftest.mark_path(None, here, environ),
    }
    assert len(marks) == 4
    assert all(mark.is_relative_to(tmp_path / "llamad") for mark in marks)


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> list[selftest.Verdict]:
    """What the next trials bring; each is used once."""
    coming: list[selftest.Verdict] = []

    async def decode(weights: Path) -> selftest.Verdict:
        assert weights.name == "tinychat.gguf"
        return coming.pop(0)

    monkeypatch.setattr(selftest, "decode", decode)
    return coming


async def test_what_has_passed_is_not_tried_again(tmp_path: Path, verdict: list[selftest.Verdict]) -> None:
    verdict.append(selftest.Verdict(tokens=32))
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    with structlog.testing.capture_logs() as logs:
        await selftest.check(Build(), environ)
        await selftest.check(Build(), environ)
    assert logs == []
    assert verdict == []


async def test_a_crash_is_logged_with_its_remedy_at_every_start(
    tmp_path: Path, verdict: list[selftest.Verdict]
) -> None:
    verdict += [selftest.Verdict(signal=11), selftest.Verdict(signal=11)]
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    with structlog.testing.capture_logs() as logs:
        await selftest.check(Build(isa="avx2"), environ)
        await selftest.check(Build(isa="avx2"), environ)
    assert [entry["log_level"] for entry in logs] == ["error"] * 4
    assert "SIGSEGV" in logs[0]["event"]
    assert "LLAMAD_ISA=baseline make install" in logs[1]["event"]


async def test_a_runner_ended_from_outside_is_no_crash(tmp_path: Path, verdict: list[selftest.Verdict]) -> None:
    verdict.append(selftest.Verdict(signal=15))
    with structlog.testing.capture_logs() as logs:
        await selftest.check(Build(), {"XDG_CACHE_HOME": str(tmp_path)})
    assert logs == []


async def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, verdict: list[selftest.Verdict]) -> None:
    (tmp_path / "file").touch()
    verdict.append(selftest.Verdict(tokens=32))
    await selftest.check(Build(), {"XDG_CACHE_HOME": str(tmp_path / "file")})
