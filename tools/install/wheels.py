"""Compiled llama-cpp-python wheels, kept outside any clone.

    $XDG_CACHE_HOME/llamad/              (~/.cache/llamad)
    ├── pip-<version>-py3-none-any.whl   the pip that we start with
    ├── build.lock                       held while a build runs
    ├── build.log                        output of the last build
    └── wheels/<key>/
        ├── llama_cpp_python-….whl
        └── build.json                   what it was built from, and the wheel's SHA-256

pip's own wheel cache would hand a build with other compiler flags to whoever asks next; here the key holds everything
that shapes the machine code: version and hash of the source, accelerator and its compiler's path, definitions,
processor, compiler. The interpreter is not part of it: the package loads its libraries with ctypes, its wheels are
`py3-none`.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from .choices import Plan
from .compiler import Compiler
from .lock import Lock
from .machine import Machine


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and os.path.isabs(base) else Path.home() / ".cache") / "llamad"


def key_of(lock: Lock, plan: Plan, machine: Machine, compiler: Compiler) -> str:
    """Names a build: readable in front, unique at the end."""
    shape = {
        "source": lock.compiled,
        "plan": {name: value for name, value in asdict(plan).items() if name not in {"gpu_found", "hint"}},
        "system": [machine.system, machine.arch],
        "cpu": machine.cpu.digest if plan.isa == "native" else "",
        "compiler": compiler.version,
    }
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]
    return f"{lock.version}-{plan.accel}-{plan.isa}{'-amx' if plan.amx else ''}-{machine.arch}-{digest}"


class WheelCache:
    """Finished builds by key. A wheel appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Path | None:
        """The wheel, if it is there and is still what was built."""
        entry = self.folder / "wheels" / key
        try:
            record = json.loads((entry / "build.json").read_text())
            wheel = entry / str(record["wheel"])
            intact = sha256(wheel) == record["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return wheel if intact else None

    def put(self, key: str, wheel: Path, facts: Mapping[str, object]) -> Path:
        """Move a wheel in and return where it lies; `facts` are written beside it for the curious."""
        entry = self.folder / "wheels" / key
        entry.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
        try:
            shutil.move(wheel, fresh / wheel.name)
            record = {**facts, "wheel": wheel.name, "sha256": sha256(fresh / wheel.name)}
            (fresh / "build.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
            fresh.chmod(0o755)
            if entry.exists():
                shutil.rmtree(entry)
            fresh.rename(entry)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return entry / wheel.name

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Hold back other installations of this user: they would build the same thing twice."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "build.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
