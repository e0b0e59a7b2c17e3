"""The daemon's side: what the process says, how it ends, and that nothing stays."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelstore import quantize
from modelstore.errors import DiskFull
from modelstore.gguf import Header, read_header
from modelstore.quantize.errors import QuantizeFailed
from modelstore.quantize.process import environment, without_paths
from tests.unit.modelstore.quantize import files

SOURCE = files.model("llama", ("w.weight", (32, 4), 1))
RESULT = files.model("llama", ("w.weight", (32, 4), 8), general__file_type=7)


class HungUpError(Exception):
    """Raised by whoever listens."""


@pytest.fixture
def header(tmp_path: Path) -> Header:
    return files.header(tmp_path / "source.gguf", SOURCE)


@pytest.fixture
def run(tmp_path: Path, header: Header) -> Callable[..., list[float]]:
    """Quantise with a program that does these things; afterwards nothing is left but the source."""

    def quantise(*lines: str, tell: Callable[[float], None] | None = None) -> list[float]:
        told: list[float] = []
        command = files.program(tmp_path / "program.py", *lines)
        work = tmp_path / "work"
        try:
            with quantize.quantized([header], "Q8_0", work, tell or told.append, command=command) as path:
                assert read_header(path).file_type == "Q8_0"
                assert path.parent.parent == work
        finally:
            assert list(work.iterdir()) == []
            assert (tmp_path / "source.gguf").read_bytes() == SOURCE
        return told

    return quantise


SIZED = "say('sized', bytes=1000)"
WRITE = f"write({RESULT!r})"


def test_progress_and_a_result(run: Callable[..., list[float]]) -> None:
    steps = ("say('step', tensor=1, tensors=4)", "say('step', tensor=2, tensors=4)")
    told = run(SIZED, *steps, WRITE, "say('finished')", "sys.stdin.read()")
    assert list(dict.fromkeys(told)) == [0.0, 0.25, 0.5, 1.0]


def test_the_order_names_links_in_the_working_directory(tmp_path: Path, run: Callable[..., list[float]]) -> None:
    seen = tmp_path / "seen"
    run(
        f"open({str(seen)!r}, 'w').write(repr((order['sources'], order['number'], os.path.realpath('model.gguf'))))",
        WRITE,
        "say('finished')",
    )
    assert seen.read_text() == repr((["model.gguf"], 7, str((tmp_path / "source.gguf").resolve())))


def test_a_refusal_is_told_in_the_engines_words(run: Callable[..., list[float]]) -> None:
    with pytest.raises(QuantizeFailed, match=r"^quantization failed: unknown model architecture: 'x'$") as caught:
        run("say('failed', reason=\"unknown model architecture: 'x'\")")
    assert caught.value.status == 500


def test_a_crash_is_told_with_its_last_line_and_without_paths(run: Callable[..., list[float]]) -> None:
    words = r"^quantization failed: the quantizer was ended by SIGABRT: quants.c:12: GGML_ASSERT\(ok\) failed$"
    with pytest.raises(QuantizeFailed, match=words):
        run(SIZED, "write(b'half')", "os.write(2, b'/build/ggml/quants.c:12: GGML_ASSERT(ok) failed\\n')", "os.abort()")


def test_an_end_without_a_word_is_a_failure(run: Callable[..., list[float]]) -> None:
    with pytest.raises(QuantizeFailed, match="exit status 3"):
        run(SIZED, "os._exit(3)")


@pytest.mark.parametrize("line", ["os.write(1, b'what?\\n')", "say('other')", "os.write(1, bytes(3 << 20))"])
def test_noise_is_a_failure(run: Callable[..., list[float]], line: str) -> None:
    with pytest.raises(QuantizeFailed, match="unexpected output"):
        run(line, "sys.stdin.read()")


def test_a_program_that_cannot_be_started_leaves_nothing(tmp_path: Path, header: Header) -> None:
    with (
        pytest.raises(FileNotFoundError),
        quantize.quantized([header], "Q8_0", tmp_path / "work", print, command=("/nothing/here",)),
    ):
        pass
    assert list((tmp_path / "work").iterdir()) == []


def test_whoever_listens_can_end_it_and_then_the_process_is_gone(
    tmp_path: Path, run: Callable[..., list[float]]
) -> None:
    pid = tmp_path / "pid"

    def half(share: float) -> None:
        if share == 0.5:
            raise HungUpError

    with pytest.raises(HungUpError):
        run(
            f"open({str(pid)!r}, 'w').write(str(os.getpid()))",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "write(b'half')",
            SIZED,
            "say('step', tensor=1, tensors=2)",
            "signal.pause()",
            tell=half,
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_silent_process_can_be_ended_too(run: Callable[..., list[float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """How far it is is told again and again, as only whoever is told something can end it."""
    monkeypatch.setattr(quantize, "PAUSE", 0.001)
    told: list[float] = []

    def third(share: float) -> None:
        told.append(share)
        if len(told) == 3:
            raise HungUpError

    with pytest.raises(HungUpError):
        run(SIZED, "signal.pause()", tell=third)
    assert told == [0.0, 0.0, 0.0]


def test_a_full_disk_is_told_before_anything_is_said_or_written(
    run: Callable[..., list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", files.disk(500))
    told: list[float] = []
    with pytest.raises(DiskFull) as caught:
        run(SIZED, "sys.stdin.read()", tell=told.append)
    assert told == []
    assert caught.value.available == 500


def test_a_disk_that_fills_up_meanwhile_is_the_reason(
    run: Callable[..., list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", files.disk(1 << 30, 0))
    with pytest.raises(DiskFull):
        run(SIZED, "write(b'half')", "say('failed', reason='basic_ios::clear: iostream error')")


def test_the_environment_hides_every_gpu_and_finds_this_program() -> None:
    found = environment({"PYTHONPATH": "/x", "CUDA_VISIBLE_DEVICES": "0", "HOME": "/h"})
    assert found["CUDA_VISIBLE_DEVICES"] == found["GGML_VK_VISIBLE_DEVICES"] == "-1"
    assert (found["HOME"], found["GGML_NO_BACKTRACE"]) == ("/h", "1")
    own, other = found["PYTHONPATH"].split(os.pathsep)
    assert (Path(own) / "modelstore" / "quantize").is_dir()
    assert other == "/x"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/a/b c/d.gguf: bad", "b c/d.gguf: bad"),
        ("cannot open '/models/x.gguf'", "cannot open 'x.gguf'"),
        ("a / b", "a / b"),
        ("1/2 done", "1/2 done"),
    ],
)
def test_directories_are_left_out_of_what_is_told(text: str, plain: str) -> None:
    assert without_paths(text) == plain
