"""GGUF files that are run without a Modelfile: found, checked, named, and brought into the daemon's store.

    ./Qwen2.5-0.5B-Instruct-Q4_K_M.gguf    →  qwen2.5-0.5b-instruct:q4_k_m
    ~/big-00001-of-00003.gguf              →  big:latest, of all three files

What begins like a path is one. Anything else is a file only if it ends in `.gguf`, is there, and no model has the name.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Final

from modelstore.errors import InvalidGGUF
from modelstore.gguf import has_magic, read_facts
from modelstore.modelfile import Modelfile
from modelstore.names import Name
from server.cli import files, progress
from server.cli.answer import Json, text
from server.cli.call import Call
from server.cli.commands import create
from server.cli.errors import BadInput, ServerError
from server.cli.remembered import Remembered, file_of
from server.cli.transport import Client

ENDING: Final = ".gguf"
_SHARD: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_QUANTIZATION: Final = re.compile(
    r"(.+?)[-._]((?:UD-|i1-)?(?:I?Q[1-8](?:_[0-9A-Z]+)*|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32))", re.IGNORECASE
)
_UNUSABLE: Final = re.compile(r"[^a-z0-9_.]+")
_LONGEST: Final = 80
_NAMELESS: Final = "model"
_PROJECTOR_ARCHITECTURE: Final = "clip"


def resolved(call: Call, word: str) -> str:
    """The name of the model for an argument of `run`: the word itself, or that of the file, which is imported first.

    Raises BadInput for a file that cannot be run, ServerError.
    """
    is_path = word in (".", "..") or word.startswith(("./", "../", "/", "~"))
    path = files.located(word, Path.cwd())
    with create.failures():
        if not is_path and not (_is_loose(word, path) and _digests_of(call.client, word) is None):
            return word
        _check(path, word)
        name = name_for(path).short
        print(f"using {word} as {name}", file=sys.stderr)
        _import(call, name, shards(path), word)
    return name


def name_for(path: Path) -> Name:
    """A model's name after its file: lower case, what names may hold, the quantization as the tag."""
    found = _SHARD.fullmatch(path.name)
    stem = found[1] if found else path.name[: -len(ENDING)] if path.name.lower().endswith(ENDING) else path.name
    found = _QUANTIZATION.fullmatch(stem)
    model, tag = (found[1], found[2].lower()) if found else (stem, "latest")
    usable = _UNUSABLE.sub("-", model.lower()).strip("-.")[:_LONGEST].rstrip("-.")
    return Name.parse(f"{usable or _NAMELESS}:{tag}")


def shards(path: Path) -> list[Path]:
    """All files of the model that one of them belongs to. Raises BadInput when some are missing."""
    found = _SHARD.fullmatch(path.name)
    if found is None:
        return [path]
    count = int(found[3])
    paths = [path.with_name(f"{found[1]}-{number:05}-of-{count:05}{ENDING}") for number in range(1, count + 1)]
    for each in paths:
        if not each.is_file():
            raise BadInput(f"{each.name} is missing: the model has {count} files")
    return paths


def _is_loose(word: str, path: Path) -> bool:
    """Whether a word that may be a name is a file."""
    try:
        return word.lower().endswith(ENDING) and path.is_file() and has_magic(path.resolve())
    except OSError:
        return False


def _check(path: Path, word: str) -> None:
    """Raises BadInput, OSError, for anything but the weights of a model."""
    if path.is_dir():
        raise BadInput(f"{word} is a directory: name a {ENDING} file in it, or use a Modelfile")
    size = path.stat().st_size
    if not path.is_file() or not size:
        raise BadInput(f"{word} is {'empty' if path.is_file() else 'not a regular file'}")
    if not has_magic(path.resolve()):
        raise BadInput(f"{word} is not a GGUF file")
    try:
        header = read_facts(path.resolve())
    except InvalidGGUF as error:
        raise BadInput(f"{word} cannot be used: {error}") from error
    if header.kind == "adapter":
        raise BadInput(f"{word} is an adapter: use a Modelfile with FROM and ADAPTER")
    if header.kind in ("projector", "mmproj") or header.architecture == _PROJECTOR_ARCHITECTURE:
        raise BadInput(f"{word} is a projector: use a Modelfile with a FROM line for the model and one for it")


def _import(call: Call, name: str, paths: list[Path], word: str) -> None:
    """Have the files as a model of that name, unless it is there. Raises BadInput when others are."""
    known = _digests_of(call.client, name)
    with progress.wheel() as shown:
        shown.status(create.GATHERING)
        digests = Remembered(file_of(os.environ)).digests(paths, files.digests)
    if known is None:
        request: Json = {"files": dict(zip(files.keys(paths), digests.values(), strict=True))}
        with progress.display() as shown:
            create.send(call.client, name, request, {digest: path for path, digest in digests.items()}, shown)
    elif not known.issuperset(digests.values()):
        command = f"echo {shlex.quote(f'FROM {word}')} | {call.program} create NAME -f -"
        raise BadInput(f"a model {name} with other weights is there; to choose another name: {command}")


def _digests_of(client: Client, name: str) -> set[str] | None:
    """The weights of a model, by what its Modelfile says; None if there is no such model."""
    try:
        shown = client.call("POST", "/api/show", {"model": name})
    except ServerError as error:
        if error.status == 404:
            return None
        raise
    sources = Modelfile.parse(text(shown, "modelfile")).values("model")
    return {Path(source).name.replace("sha256-", "sha256:", 1) for source in sources}
