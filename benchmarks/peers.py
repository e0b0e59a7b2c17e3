"""llama-server and llama-bench, compiled from the llama.cpp source inside the pinned llama-cpp-python's sdist.

The compiler and the definitions are those of `tools.install`, so that both sides run the same kernels; AMX is always
off, as it is in an installation that did not ask for it.
"""

import hashlib
import json
import os
import shlex
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.errors import BuildFailed, SourceMissing
from benchmarks.folders import ROOT, Folders
from tools.install import choices, compiler, lock, machine, record
from tools.install.build import jobs
from tools.install.choices import NO_AMX, Plan
from tools.install.commands import capture, run_logged, say
from tools.install.compiler import Compiler
from tools.install.errors import InstallError
from tools.install.lock import Lock
from tools.install.wheels import key_of, sha256

DEFINITIONS: Final = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",  # the folder is moved once it is complete
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)
PROGRAMS: Final = ("llama-server", "llama-bench")
_INSIDE_SDIST: Final = Path("vendor") / "llama.cpp"


@dataclass(frozen=True, slots=True)
class Peers:
    """The compiled programs."""

    folder: Path

    @property
    def server(self) -> Path:
        """llama-server."""
        return self.folder / "llama-server"

    @property
    def bench(self) -> Path:
        """llama-bench."""
        return self.folder / "llama-bench"

    @property
    def complete(self) -> bool:
        """Whether both programs are there."""
        return all((self.folder / program).is_file() for program in PROGRAMS)


def build(folders: Folders, source: Path | None = None) -> Peers:
    """The programs for this machine, compiled if they are not in the cache yet.

    `source` is an sdist, its unpacked folder or a folder of llama.cpp; without it pip downloads the pinned sdist.
    Raises `SourceMissing`, `BuildFailed`.
    """
    try:
        pinned = lock.read(ROOT / "requirements.lock")
        here = machine.look()
        recorded = record.read(ROOT / ".venv").get("wishes")
        wishes = choices.read_wishes(os.environ, recorded if isinstance(recorded, dict) else {})  # pyright: ignore[reportUnknownArgumentType] # JSON
        plan = choices.plan(wishes, here, backends=str(ROOT / ".venv" / "lib" / "llamad"))
        compilers = compiler.find(packages=here.packages)
    except InstallError as error:
        raise BuildFailed(str(error), folders.peers_log) from None
    definitions = all_definitions(plan, compilers, x86=here.x86)
    peers = Peers(folders.peers(peers_key(key_of(pinned, plan, here, compilers), definitions)))
    if not peers.complete:
        peers.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=peers.folder.parent) as scratch:
            tree = _source_tree(source, pinned, Path(scratch))
            _compile(tree, Path(scratch) / "build", definitions, compilers, jobs(plan.accel), folders.peers_log)
            _keep(Path(scratch) / "build" / "bin", peers, folders.peers_log)
    return peers


def all_definitions(plan: Plan, compilers: Compiler, *, x86: bool) -> tuple[str, ...]:
    """What CMake is told, apart from the compilers."""
    switches = " ".join(NO_AMX) if x86 and compilers.amx_switches else ""
    flags = [f"-DCMAKE_C_FLAGS={switches}", f"-DCMAKE_CXX_FLAGS={switches}"] if switches else []
    return (*DEFINITIONS, *plan.definitions, *shlex.split(plan.user_args), *flags)


def peers_key(installed: str, definitions: tuple[str, ...]) -> str:
    """Names a build: the key of the engine that it is compared with, and a digest of what is defined besides."""
    return f"{installed}-{hashlib.sha256(json.dumps(definitions).encode()).hexdigest()[:8]}"


# -- source -------------------------------------------------------------------------------------------------------


def _source_tree(given: Path | None, pinned: Lock, scratch: Path) -> Path:
    """The folder of llama.cpp."""
    if given is None:
        given = _download(pinned, scratch)
    if given.is_file():
        given = _unpack(given, scratch / "sdist")
    for folder in (given / _INSIDE_SDIST, given):
        if (folder / "tools" / "server").is_dir():
            return folder
    raise SourceMissing(str(given), "tools/server is not in it")


def _download(pinned: Lock, scratch: Path) -> Path:
    """The sdist that requirements.lock names, verified by pip against its hash."""
    say(f"downloading the source of llama-cpp-python {pinned.version}")
    wanted = scratch / "source.txt"
    wanted.write_text(pinned.compiled + "\n")
    # pip looks into an sdist with the build backend, which requirements.lock has put into the environment.
    options = ["--no-deps", "--require-hashes", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(scratch)]
    status, output = capture([sys.executable, "-m", "pip", "download", *options, "--requirement", str(wanted)])
    archives = list(scratch.glob("llama_cpp_python-*.tar.gz"))
    if status or len(archives) != 1:
        raise SourceMissing("the package index", f"{output.strip()}\nRun `make install` first, or give --source.")
    return archives[0]


def _unpack(archive: Path, folder: Path) -> Path:
    try:
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise SourceMissing(str(archive), str(error)) from None
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 else folder


# -- build --------------------------------------------------------------------------------------------------------


def _compile(
    tree: Path, build: Path, definitions: tuple[str, ...], compilers: Compiler, parallel: int, log: Path
) -> None:
    variables = _variables(os.environ, compilers)
    ninja = ["-G", "Ninja"] if shutil.which("ninja", path=variables["PATH"]) else []
    say("compiling llama-server and llama-bench; minutes the first time")
    try:
        run_logged("configuring", ["cmake", "-S", str(tree), "-B", str(build), *ninja, *definitions], variables, log)
        command = ["cmake", "--build", str(build), "--parallel", str(parallel), "--target", *PROGRAMS]
        run_logged("compiling", command, variables, log)
    except (OSError, InstallError) as error:
        raise BuildFailed(str(error), log) from None


def _variables(environ: Mapping[str, str], compilers: Compiler) -> dict[str, str]:
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    made = {**environ, "PATH": path, "CC": compilers.cc, "CXX": compilers.cxx}
    made.pop("SOURCE_DATE_EPOCH", None)  # it would make llama.cpp leave out the machine's own instructions
    return made


def _keep(made: Path, peers: Peers, log: Path) -> None:
    missing = [program for program in PROGRAMS if not (made / program).is_file()]
    if missing:
        raise BuildFailed(f"the build left no {' and no '.join(missing)}", log)
    facts = {program: sha256(made / program) for program in PROGRAMS}
    (made / "build.json").write_text(json.dumps(facts, indent=2) + "\n")
    if peers.folder.exists():
        shutil.rmtree(peers.folder)
    made.rename(peers.folder)
