"""The quantizer from inside: one order, one result.

What it says leaves through a private copy of stdout; descriptor 1 itself is pointed at stderr, so that whatever native
code prints cannot land in between.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Never

from modelstore.quantize import message
from modelstore.quantize.message import Failed, Message, Order

_NICENESS: Final = 10
"""Running models have the processor first."""
_CHUNK: Final = 64 << 10


def main(carry_out: Callable[[Order, Callable[[Message], None]], Message]) -> int:
    """The process: exit status 1 after a failure; after a success it waits until it is killed or its input ends."""
    output = os.dup(1)
    os.dup2(2, 1)
    order = _read_order()
    guard = threading.Thread(target=_guard, args=(order, Path.cwd()), daemon=True)
    guard.start()
    os.nice(_NICENESS)

    def say(said: Message) -> None:
        try:
            os.write(output, message.line(said))
        except BrokenPipeError:
            pass  # nobody listens; the guard is about to end all this

    end = carry_out(order, say)
    say(end)
    if isinstance(end, Failed):
        return 1
    guard.join()
    return 0


def _read_order() -> Order:
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, _CHUNK)
        if not data:
            raise SystemExit(2)
        line += data
    return message.parse_order(line)


def _guard(order: Order, directory: Path) -> Never:
    """Wait for the end of the input: the daemon has died. Then nobody else removes what is here."""
    while os.read(0, _CHUNK):
        pass
    remove(order, directory)
    os._exit(3)


def remove(order: Order, directory: Path) -> None:
    """Remove the result, the links to the weights, and the directory if it is empty then."""
    links = [name for name in order.sources if (directory / name).is_symlink()]
    for name in (order.result, *links):
        (directory / Path(name).name).unlink(missing_ok=True)
    try:
        directory.rmdir()
    except OSError:
        pass  # there is more in it; the daemon's next start looks after that
