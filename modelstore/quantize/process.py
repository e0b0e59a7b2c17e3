"""The quantizer as the daemon sees it: a process that is started with an order, tells how far it is, and is killed.

    started ──▶ Sized ──▶ Step … ──▶ Finished ──▶ killed
       └──────────┴──────────┴── Failed, end of its output, or nobody wants it any more ──▶ killed

It stays after it has finished: until it is killed here, the end of its input tells it that the daemon has died, and
then it removes its files. It has no GPU, so it takes no memory from the models that run.
"""

import os
import re
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import msgspec

from modelstore.quantize import message
from modelstore.quantize.errors import QuantizeFailed
from modelstore.quantize.message import Message, Order

COMMAND: Final = (sys.executable, "-P", "-m", "modelstore.quantize")
"""-P: what lies in the working directory is not imported."""

_SOURCE_ROOT: Final = Path(__file__).resolve().parents[2]
_NO_GPUS: Final = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "ROCR_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "GGML_VK_VISIBLE_DEVICES": "-1",
}
_MAX_LINE: Final = 1 << 20
_COMPLAINTS: Final = 8 << 10
"""Bytes kept of what it writes to its standard error."""
_PATIENCE: Final = 10.0
"""Seconds after which a process that outlives SIGKILL, in the middle of reading a dead disk, is given up."""
_DIRECTORIES: Final = re.compile(r"(?<![\w.])/(?:[^\s:/'\"]+/)*(?=[^\s/'\"])")


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What the quantizer is started with."""
    path = [str(_SOURCE_ROOT), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    # An engine that aborts would otherwise start a debugger, which outlives it.
    own = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path)), "GGML_NO_BACKTRACE": "1"}
    return {**inherited, **own, **_NO_GPUS}


class Quantizer:
    """One process, in a working directory of its own. Leaving the `with` block kills it."""

    def __init__(self, directory: Path, order: Order, command: tuple[str, ...] = COMMAND) -> None:
        """Start. Raises `OSError`."""
        # A session of its own: Ctrl-C in the daemon's terminal is for the daemon to handle.
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._order = message.line(order)
        self._complaints = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def messages(self, pause: float) -> Iterator[Message | None]:
        """What it says; None whenever it has said nothing for `pause` seconds. Ends when its output does.

        Raises `QuantizeFailed` for what is no message.
        """
        self._give_order()
        said, complaints = _pipe(self._process.stdout), _pipe(self._process.stderr)
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(said, selectors.EVENT_READ)
            selector.register(complaints, selectors.EVENT_READ)
            while True:
                ready = [key.fd for key, _ in selector.select(pause)]
                if complaints.fileno() in ready and not self._hear(complaints):
                    selector.unregister(complaints)
                if said.fileno() not in ready:
                    yield None
                    continue
                if not (data := os.read(said.fileno(), _MAX_LINE)):
                    return
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > _MAX_LINE:
                    raise QuantizeFailed("unexpected output")
                yield from map(_parsed, lines)

    def last_words(self) -> str:
        """How it ended, after its output has."""
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return "the quantizer does not answer"
        while self._hear(_pipe(self._process.stderr)):
            pass
        lines = self._complaints.decode(errors="replace").strip().splitlines()
        return ": ".join([_ending(code), *map(without_paths, lines[-1:])])

    def kill(self) -> None:
        """End it now, however busy it is. Does nothing for one that has ended."""
        self._process.kill()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            pass

    def _give_order(self) -> None:
        order = memoryview(self._order)
        try:
            while order:
                order = order[os.write(_pipe(self._process.stdin).fileno(), order) :]
        except BrokenPipeError:
            pass  # it has ended; its last words tell why

    def _hear(self, complaints: IO[bytes]) -> bool:
        """Keep the end of what it complains about; whether there may be more."""
        data = os.read(complaints.fileno(), _COMPLAINTS)
        self._complaints = (self._complaints + data)[-_COMPLAINTS:]
        return bool(data)

    def __enter__(self) -> "Quantizer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            _pipe(pipe).close()


def without_paths(text: str) -> str:
    """The text with files named by their last part only."""
    return _DIRECTORIES.sub("", text)


def _ending(code: int) -> str:
    if code >= 0:
        return f"the quantizer ended with exit status {code}"
    try:
        return f"the quantizer was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"the quantizer was ended by signal {-code}"


def _parsed(line: bytes) -> Message:
    try:
        return message.parse(line)
    except msgspec.MsgspecError:
        raise QuantizeFailed("unexpected output") from None


def _pipe(file: IO[bytes] | None) -> IO[bytes]:
    assert file is not None, "all three are pipes"
    return file
