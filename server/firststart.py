"""The first minutes with a fresh installation: a model to talk to, and one screen that says how."""

import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from modelstore import bundled
from modelstore.names import Name
from modelstore.progress import Progress
from modelstore.store import Store
from server.build import Build
from server.host import Host
from server.settings import Settings
from server.version import PROGRAM, PROGRAM_VERSION, REFERENCE_VERSION

SEED: Final = "LLAMAD_SEED"
"""Set by `make serve`: only there may a model appear that nobody asked for."""

_SHOWN_MODELS: Final = 5


def is_asked_for(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the daemon was started for somebody who tries it out."""
    return environ.get(SEED) == "1"


def seed(store: Store, environ: Mapping[str, str] = os.environ) -> Name | None:
    """Pull the bundled model into a store that has none, if asked for; returns its name if it did.

    Copies a few megabytes: not for an event loop. Raises errors of the store.
    """
    if not is_asked_for(environ) or store.catalog.list():
        return None
    name = bundled.names()[0]
    bundled.pull(store, name, _ignore)
    return name


def _ignore(_: Progress) -> None:
    """Nobody watches."""


def welcome(settings: Settings, store: Store, build: Build | None, program: str | None = None) -> str:
    """One screen: where the daemon is, what computes, what to try next. Reads the store's list of models."""
    program = program or invocation()
    here = settings.host.for_client()
    names = [model.name.short for model in store.catalog.list()]
    lines = [f"{PROGRAM} {PROGRAM_VERSION} on {here}, speaking the API of Ollama {REFERENCE_VERSION}", ""]
    lines += [f"  models   {_models(names)}", f"  engine   {_engine(build)}"]
    if build and build.hint:
        lines.append(f"  GPU      {build.gpu_found} was found, and this is a CPU build. To use it:")
        lines.append(f"           {build.hint}")
    model = (names[0] if names else bundled.names()[0].short).removesuffix(":latest")
    lines += ["", "Try in another terminal:", "", *_suggestions(program, here, model), ""]
    return "\n".join(lines)


def invocation(argv: tuple[str, ...] | None = None) -> str:
    """How the running program is called again from a shell."""
    name = Path((argv or tuple(sys.argv))[0]).name
    if name in {"llamad", "ollama"}:
        return name
    interpreter = Path(sys.executable)
    try:
        interpreter = interpreter.relative_to(Path.cwd())
    except ValueError:
        pass
    return f"{interpreter} -m server"


def _models(names: list[str]) -> str:
    if not names:
        return "none yet"
    more = len(names) - _SHOWN_MODELS
    return ", ".join(names[:_SHOWN_MODELS]) + (f" and {more} more" if more > 0 else "")


def _engine(build: Build | None) -> str:
    if build is None:
        return f"llama.cpp of llama-cpp-python {_installed()}"
    amx = ", AMX on" if build.amx else ""
    return f"llama.cpp of llama-cpp-python {build.llama_cpp_version}, built for {build.accel} ({build.isa}{amx})"


def _installed() -> str:
    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:
        return "(missing)"


def _suggestions(program: str, here: Host, model: str) -> list[str]:
    # A shell that is to reach a daemon elsewhere than at the default address must be told.
    prefix = "" if here == Host() else f"OLLAMA_HOST={here.netloc} "
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}'
    return [
        f'  {prefix}{program} run {model} "hello"',
        f"  curl {here}/api/chat -d '{body}'",
        f"  {prefix}{program} --help",
        "",
        "Every Ollama client works as it is: give it this address.",
    ]
