"""A path in a Modelfile → the files that it stands for.

A directory stands for the first kind of weights that it holds, and always for what describes them (configuration,
vocabulary, chat template). No file may lead out of the directory it was found in.
"""

import hashlib
import os
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final

from server.cli import sniff
from server.cli.errors import BadInput

_CHUNK: Final = 4 << 20
"""Bytes that are hashed at once."""
_TEXT: Final = "text/plain"
_ZIP: Final = "application/zip"
_BINARY: Final = "application/octet-stream"

_WEIGHTS: Final = (
    (("model*.safetensors",), ""),
    (("adapter_model*.safetensors",), ""),
    (("adapters*.safetensors",), ""),
    (("consolidated*.safetensors",), ""),
    (("pytorch_model*.bin",), _ZIP),
    (("consolidated*.pth",), _ZIP),
    (("*.gguf",), _BINARY),
    (("*.bin",), _BINARY),
)
"""Pattern, content type that every match needs; the first that matches wins."""
_NESTED_WEIGHTS: Final = "*/model*.safetensors"
"""Taken along where the first pattern matched."""


def located(text: str, base: Path) -> Path:
    """The absolute path for an argument that is a path; `~` is a home directory, the rest relative to `base`.

    Raises BadInput for a home directory that does not exist.
    """
    if text.startswith("~"):
        try:
            return Path(text).expanduser()
        except RuntimeError as error:
            user = text[1:].partition("/")[0]
            reason = f"failed to find user '{user}'" if user else "failed to get current user"
            raise BadInput(f"{reason}: {error}") from error
    return Path(os.path.abspath(base / text))


def expand(path: Path) -> list[Path]:
    """The files behind an existing path. Raises BadInput."""
    if not path.is_dir():
        return [path]
    files = [*_weights(path), *_descriptions(path)]
    root = path.resolve()
    for file in files:
        _check_inside(file, root)
    return files


def _weights(path: Path) -> list[Path]:
    for patterns, needed in _WEIGHTS:
        found = _matches(path, *patterns)
        if found and patterns == _WEIGHTS[0][0]:
            found += _matches(path, _NESTED_WEIGHTS)
        if found and all(_is(file, needed) for file in found):
            return found
    raise BadInput("no Modelfile or safetensors files found")


def _descriptions(path: Path) -> list[Path]:
    texts = [*_matches(path, "*.json", "*/*.json"), *_matches(path, "chat_template.jinja")]
    for file in texts:
        kind = sniff.kind_of_file(file).partition(";")[0]
        if kind != _TEXT:
            raise BadInput(f"invalid content type: expected {kind} for {file}")
    return [*texts, *(file for file in _matches(path, "tokenizer.model") if _is(file, _BINARY))]


def _matches(path: Path, *patterns: str) -> list[Path]:
    return [file for pattern in patterns for file in sorted(path.glob(pattern)) if file.is_file()]


def _is(file: Path, needed: str) -> bool:
    return not needed or sniff.kind_of_file(file).startswith(needed)


def _check_inside(file: Path, root: Path) -> None:
    target = file.resolve()
    if target.is_relative_to(root):
        return
    relative = os.path.relpath(target, root)
    hint = "\n\nUse --local-dir <dir> when downloading model to disable caching" if ".cache" in relative else ""
    raise BadInput(f"insecure path: {relative}{hint}")


def keys(files: Sequence[Path]) -> list[str]:
    """Names under which files are sent: their paths below the directory that they share."""
    if len(files) < 2:
        return [file.name for file in files]
    shared = os.path.commonpath([file.parent for file in files])
    return [file.relative_to(shared).as_posix() for file in files]


def digests(files: Iterable[Path]) -> dict[Path, str]:
    """`sha256:<hex>` of each file, several computed at a time."""
    wanted = list(dict.fromkeys(files))
    with crew() as (pool, stopped):
        return dict(zip(wanted, pool.map(partial(_digest, stopped), wanted), strict=True))


def _digest(stopped: Event, file: Path) -> str:
    state, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
    with file.open("rb", buffering=0) as content:
        while count := content.readinto(buffer):
            if stopped.is_set():
                raise InterruptedError
            state.update(buffer[:count])
    return f"sha256:{state.hexdigest()}"


@contextmanager
def crew() -> Generator[tuple[ThreadPoolExecutor, Event]]:
    """Threads for work on files, and what tells them to stop: a failure or an interrupt does not wait for them."""
    stopped = Event()
    pool = ThreadPoolExecutor(max((os.cpu_count() or 1) - 1, 1))
    try:
        yield pool, stopped
    finally:
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
