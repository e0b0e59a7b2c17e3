"""`make install`: brings an environment to what requirements.lock and this machine ask for."""

import argparse
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from . import build, choices, compiler, lock, machine, record
from .choices import Plan, Wishes
from .commands import capture, say
from .environment import Environment
from .errors import CommandFailed, InstallError
from .machine import Machine
from .wheels import WheelCache, cache_folder, key_of, sha256

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tools.install", description="Install llamad's environment.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="the environment (default: .venv)")
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock", help="the pinned packages")
    arguments = parser.parse_args()
    try:
        install(arguments.venv.absolute(), arguments.lock)
    except InstallError as error:
        print(f"\nllamad cannot be installed:\n\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; nothing half-done is kept", file=sys.stderr)
        return 130
    return 0


def install(venv: Path, lock_path: Path) -> None:
    """Raises InstallError."""
    before = record.read(venv)
    recorded = before.get("wishes")
    wishes = choices.read_wishes(os.environ, recorded if isinstance(recorded, dict) else {})  # pyright: ignore[reportUnknownArgumentType] # JSON
    here = machine.look()
    plan = choices.plan(wishes, here, backends=str(backends_folder(venv)))
    mark = record.fingerprint(lock_path, plan, here)
    if before.get("fingerprint") == mark and (venv / "bin" / "python").exists():
        return
    cache = WheelCache(cache_folder())
    with cache.exclusive():
        _install(Environment(venv), cache, lock_path, plan, here, wishes, mark)
    if plan.hint:
        say(f"This machine has {plan.gpu_found}; this is a CPU build. To use the GPU: {plan.hint}")


def _install(
    environment: Environment, cache: WheelCache, lock_path: Path, plan: Plan, here: Machine, wishes: Wishes, mark: str
) -> None:
    pinned = lock.read(lock_path)
    compilers = compiler.find(packages=here.packages)
    key = key_of(pinned, plan, here, compilers)
    installed = record.read(environment.folder).get("key")
    record.forget(environment.folder)
    environment.create(cache.folder)
    say("installing the pinned packages")
    _install_pinned(environment, pinned.rest)
    if installed != key or not _works(environment):
        wheel = None if plan.isa == "portable" else cache.get(key)
        with tempfile.TemporaryDirectory(dir=cache.folder, prefix=".build-") as folder:
            if wheel is None:
                wheel = build.build(environment, pinned, plan, compilers, Path(folder), cache.folder / "build.log")
                if plan.isa == "portable":
                    build.leave_out_amx(backends_folder(environment.folder), wishes.amx)
                else:
                    wheel = cache.put(key, wheel, {"key": key, "compiler": compilers.version, **asdict(plan)})
            _install_wheel(environment, wheel)
        if not _works(environment):
            _, output = capture([str(environment.python), "-c", "import llama_cpp"], environment.variables())
            raise CommandFailed("loading the llama.cpp that was just installed", 1, output)
    record.write(environment.folder, mark=mark, key=key, version=pinned.version, plan=plan, wishes=wishes)
    say("installed")


def backends_folder(venv: Path) -> Path:
    """Where a portable build puts its variants: beside the libraries that the package brings, by their final path."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return venv / "lib" / version / "site-packages" / "llama_cpp" / "lib"


def _install_pinned(environment: Environment, requirements: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        environment.pip("install", "--no-deps", "--require-hashes", "--requirement", file.name)


def _install_wheel(environment: Environment, wheel: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(f"{lock.COMPILED} @ {wheel.as_uri()} --hash=sha256:{sha256(wheel)}\n")
        file.flush()
        arguments = ["--no-index", "--no-deps", "--force-reinstall", "--require-hashes", "--requirement", file.name]
        environment.pip("install", *arguments)


def _works(environment: Environment) -> bool:
    """Whether the native library loads at all; whether it computes is the daemon's own test at start."""
    return capture([str(environment.python), "-c", "import llama_cpp"], environment.variables())[0] == 0


if __name__ == "__main__":
    sys.exit(main())
