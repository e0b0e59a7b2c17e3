"""The process from inside: what it says, and that it cleans up behind a daemon that has died."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelstore.quantize import message
from modelstore.quantize.message import Failed, Finished, Order, Sized, Step
from modelstore.quantize.process import environment
from modelstore.quantize.worker import remove

ORDER = Order(("model.gguf",), "result.gguf", 7, (("^v", 1),), (("general.file_type", 1),), 2)
_PROGRAM = """
import os, threading
from modelstore.quantize.message import Failed, Finished, Step
from modelstore.quantize.worker import main
def carry_out(order, say):
    open(order.result, "wb").write(b"half")
    print("noise", flush=True)
    say(Step(1, 2))
    {}
os._exit(main(carry_out))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A working directory with a link to the weights."""
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "blob").write_bytes(b"weights")
    (work / "model.gguf").symlink_to(tmp_path / "blob")
    return work


def started(directory: Path, end: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM.format(end)],
        cwd=directory,
        env=environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("end", ["threading.Event().wait()", "return Finished()"])
def test_the_end_of_its_input_ends_it_and_removes_its_files(directory: Path, end: str) -> None:
    with started(directory, end) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(message.line(ORDER))
        process.stdin.flush()
        assert message.parse(process.stdout.readline()) == Step(1, 2)
        if "Finished" in end:
            assert message.parse(process.stdout.readline()) == Finished()
        assert (directory / "result.gguf").exists()
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 3
    assert not directory.exists()
    assert (directory.parent / "blob").read_bytes() == b"weights"


def test_a_failure_is_said_and_ends_it(directory: Path) -> None:
    with started(directory, "return Failed('no')") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(message.line(ORDER))
        process.stdin.flush()
        assert [message.parse(line) for line in process.stdout] == [Step(1, 2), Failed("no")]
        assert process.wait() == 1


def test_without_an_order_it_touches_nothing(directory: Path) -> None:
    with started(directory, "pass") as process:
        process.communicate(b"")
    assert process.returncode == 2
    assert [path.name for path in directory.iterdir()] == ["model.gguf"]


def test_what_is_not_its_own_is_not_removed(directory: Path) -> None:
    (directory / "other").write_bytes(b"")
    (directory / "plain.gguf").write_bytes(b"no link")
    (directory.parent / "result.gguf").write_bytes(b"")
    remove(Order(("model.gguf", "plain.gguf"), "../result.gguf", 7, (), (), 1), directory)
    assert sorted(path.name for path in directory.iterdir()) == ["other", "plain.gguf"]
    assert (directory.parent / "result.gguf").exists()


@pytest.mark.parametrize("said", [Sized(7), Step(1, 2), Finished(), Failed("é\n")])
def test_messages_are_lines_that_can_be_read(said: message.Message) -> None:
    line = message.line(said)
    assert line.count(b"\n") == 1
    assert message.parse(line) == said


def test_so_are_orders() -> None:
    assert message.parse_order(message.line(ORDER)) == ORDER
