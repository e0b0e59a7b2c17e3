"""`create`: a Modelfile and the files that it names → a model in the daemon's store.

name → Modelfile → files → digests → uploads → request        each step's errors come before the next begins
"""

import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import as_completed
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Final

from modelstore.errors import InvalidName, StoreError
from modelstore.modelfile import Modelfile
from modelstore.names import Name
from server.cli import files, progress
from server.cli.answer import Json, text
from server.cli.call import Call
from server.cli.commands.pull import show
from server.cli.errors import BadInput
from server.cli.transport import Client

DEFAULT_FILE: Final = "Modelfile"
IMPLIED: Final = "FROM .\n"
"""What a missing Modelfile stands for."""
GATHERING: Final = "gathering model components"


def run(call: Call) -> None:
    name = call.args[0]
    try:
        Name.parse(name)
    except InvalidName as error:
        raise BadInput(f"invalid model name: {name}") from error
    with failures():
        create(call, name)


@contextmanager
def failures() -> Generator[None]:
    """Files and Modelfiles that cannot be used raise BadInput."""
    try:
        yield
    except StoreError as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"open {error.filename}: {reason}" if error.filename else reason) from error


def create(call: Call, name: str) -> None:
    source, base = _read(call.text("file") or DEFAULT_FILE)
    modelfile = Modelfile.parse(source)
    for parameter in modelfile.deprecated():
        print(f"warning: parameter {parameter} is deprecated")
    with progress.display() as shown:
        shown.status(GATHERING)
        request, paths = gathered(modelfile, base)
        draft = call.text("draft-quantize")
        if draft and "draft_files" not in request:
            raise BadInput("--draft-quantize requires a DRAFT model")
        levels = {"quantize": call.text("quantize"), "draft_quantize": draft}
        body: Json = {**{key: level for key, level in levels.items() if level}, **request}
        send(call.client, name, body, paths, shown)


def send(client: Client, name: str, request: Json, paths: dict[str, Path], shown: progress.Display) -> None:
    """Have the daemon make the model of a request, with the files behind the digests in it."""
    _upload(client, paths, shown)
    with closing(client.stream("/api/create", {"model": name, **request})) as events:
        for event in events:
            show(shown, event, text(event, "status"))


def _read(file: str) -> tuple[bytes, Path]:
    """A Modelfile and the directory that its paths start from; `-` is standard input."""
    if file == "-":
        return sys.stdin.buffer.read(), Path.cwd()
    path = Path(file)
    try:
        return path.read_bytes(), path.absolute().parent
    except FileNotFoundError:
        return IMPLIED.encode(), Path.cwd()


def gathered(modelfile: Modelfile, base: Path) -> tuple[Json, dict[str, Path]]:
    """The request's fields, and the file behind each digest in it.

    A FROM that is no path is a name; the last of them is sent. Raises BadInput for an ADAPTER or DRAFT without a file.
    """
    request = modelfile.to_request()
    names = [name for name in modelfile.values("model") if not files.located(name, base).exists()]
    request.pop("from", None)
    if names:
        request["from"] = names[-1]
    weights = [path for path in _located(modelfile, "model", base) if path.exists()]
    adapters, drafts = _located(modelfile, "adapter", base)[-1:], _located(modelfile, "draft", base)
    _check_drafts(drafts, weights)
    digests: dict[str, Path] = {}
    for field, paths in (("files", weights), ("adapters", adapters), ("draft_files", drafts)):
        if paths:
            request[field] = _hashed(paths, digests)
    return request, digests


def _located(modelfile: Modelfile, command: str, base: Path) -> list[Path]:
    paths = [files.located(path, base) for path in modelfile.values(command)]
    for path in paths if command != "model" else ():
        if not path.exists():
            raise BadInput(f"stat {path}: no such file or directory")
    return paths


def _check_drafts(drafts: Sequence[Path], weights: Sequence[Path]) -> None:
    used = {path.resolve() for path in weights}
    for path in drafts:
        if path.resolve() in used:
            raise BadInput(f"DRAFT must not reference the same local path as FROM: {path}")


def _hashed(paths: Sequence[Path], known: dict[str, Path]) -> dict[str, str]:
    """Name → digest of every file behind the paths; `known` learns where each digest's content lies."""
    named: dict[str, str] = {}
    for path in paths:
        found = files.expand(path)
        digests = files.digests(found)
        known.update((digest, file) for file, digest in digests.items())
        named.update((key, digests[file]) for key, file in zip(files.keys(found), found, strict=True))
    return named


def _upload(client: Client, paths: dict[str, Path], shown: progress.Display) -> None:
    """Send every file, several at a time."""
    with files.crew() as (pool, stopped):
        meters = {digest: _meter(shown, digest, path, stopped) for digest, path in paths.items()}
        uploads = [pool.submit(client.upload, digest, path, meters[digest]) for digest, path in paths.items()]
        for upload in as_completed(uploads):
            upload.result()


def _meter(shown: progress.Display, digest: str, path: Path, stopped: Event) -> Callable[[int], None]:
    """Counts what has been sent of one file, as a bar of its own."""
    total, done = path.stat().st_size, 0

    def sent(count: int) -> None:
        nonlocal done
        if stopped.is_set():
            raise InterruptedError
        done += count
        shown.bar(digest, f"copying file {digest}", done, total)

    return sent
