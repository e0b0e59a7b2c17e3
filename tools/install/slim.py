"""Removes from an environment what only building and testing need.

    python3 -m tools.install.slim --venv DIR [--uv-lock FILE]

What stays is llamad and what it depends on, by the graph in uv.lock.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from .commands import capture, say
from .environment import Environment
from .errors import BadLock, CommandFailed, InstallError

ROOT: Final = Path(__file__).resolve().parents[2]
PROJECT: Final = "llamad"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tools.install.slim")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--uv-lock", type=Path, default=ROOT / "uv.lock")
    arguments = parser.parse_args()
    try:
        slim(Environment(arguments.venv.absolute()), arguments.uv_lock)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def slim(environment: Environment, uv_lock: Path) -> None:
    """Raises InstallError."""
    try:
        packages = tomllib.loads(uv_lock.read_text())["package"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise BadLock(uv_lock, f"cannot be read: {error}") from None
    kept = closure(packages, PROJECT)
    # pip goes too, and last: it is the one at work.
    removed = [name for name in _installed(environment) if name not in kept and name != "pip"]
    if removed:
        environment.pip("uninstall", "--yes", *removed)
    environment.pip("uninstall", "--yes", "pip")
    say(f"removed {len(removed) + 1} packages")


def closure(packages: Iterable[Mapping[str, Any]], root: str) -> set[str]:
    """Names of everything that `root` depends on, itself included; dependency groups do not count."""
    by_name = {package["name"]: package for package in packages}
    seen: set[tuple[str, str]] = set()
    waiting = [(root, "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen or name not in by_name:
            continue
        seen.add((name, extra))
        package = by_name[name]
        wanted = package.get("optional-dependencies", {}).get(extra, []) if extra else package.get("dependencies", [])
        for dependency in wanted:
            waiting.append((dependency["name"], ""))
            waiting += [(dependency["name"], further) for further in dependency.get("extra", [])]
    return {normal(name) for name, _ in seen}


def normal(name: str) -> str:
    """A distribution's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(environment: Environment) -> list[str]:
    command = [*environment.pip_command, "list", "--format=json"]
    status, output = capture(command, environment.variables())
    try:
        return [normal(entry["name"]) for entry in json.loads(output)]
    except ValueError:
        raise CommandFailed("pip list", status, output) from None


if __name__ == "__main__":
    sys.exit(main())
