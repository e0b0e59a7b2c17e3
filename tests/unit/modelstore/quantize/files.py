"""GGUF files for the tests of quantization, and programs that take the quantizer's place."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from modelstore.gguf import Header, read_header
from tests.unit.modelstore import tinygguf

_BEGINNING = """
import json, os, signal, sys
order = json.loads(sys.stdin.buffer.readline())
def say(type, **members):
    os.write(1, json.dumps({"type": type, **members}).encode() + b"\\n")
def write(data):
    with open(order["result"], "wb") as file:
        file.write(data)
"""


class Usage(NamedTuple):
    """As of `shutil.disk_usage`."""

    total: int
    used: int
    free: int


def disk(*free: int) -> Callable[[object], Usage]:
    """In place of `shutil.disk_usage`: so many bytes are free, each time it is asked; the last number stays."""
    left = list(free)
    return lambda _path: Usage(0, 0, left.pop(0) if len(left) > 1 else left[0])


def header(path: Path, data: bytes) -> Header:
    path.write_bytes(data)
    return read_header(path)


def model(name: str = "llama", *tensors: tuple[str, tuple[int, ...], int], **kv: Any) -> bytes:
    """Weights with these tensors; keys have `__` for a dot."""
    members = {key.replace("__", "."): value for key, value in kv.items()}
    return tinygguf.gguf({"general.architecture": name, "general.file_type": 1, **members}, tensors)


def program(path: Path, *lines: str) -> tuple[str, ...]:
    """A command that takes an order and then does this; `say` and `write` are at hand."""
    path.write_text(_BEGINNING + "\n".join(lines))
    return (sys.executable, "-S", "-E", str(path))
