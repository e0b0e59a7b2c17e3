"""All checks that read the sources and run none of them: style, types, layers, lock files.

python -m tools.lint                        run every check, report all that fail
python -m tools.lint --write-requirements   write requirements.lock from uv.lock
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent
REQUIREMENTS: Final = ROOT / "requirements.lock"
EXPORT: Final = ("export", "--frozen", "--all-groups", "--no-emit-project", "--no-header", "--quiet")

CHECKS: Final = {
    "ruff check": ("ruff", "check", "."),
    "ruff format": ("ruff", "format", "--check", "."),
    "pyright": ("pyright",),
    "import-linter": ("lint-imports", "--no-cache"),
    "uv lock": ("uv", "lock", "--check"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lint")
    parser.add_argument("--write-requirements", action="store_true")
    if parser.parse_args().write_requirements:
        REQUIREMENTS.write_text(exported())
        return 0
    failed = [name for name, command in CHECKS.items() if not _passes(name, command)]
    if REQUIREMENTS.read_text() != exported():
        print("requirements.lock is not what uv.lock exports: run `make lock`")
        failed.append("requirements.lock")
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def exported() -> str:
    """requirements.lock as uv.lock determines it."""
    command = [str(BIN / "uv"), *EXPORT]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def _passes(name: str, command: tuple[str, ...]) -> bool:
    started = time.monotonic()
    done = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, check=False)
    print(f"-- {name}: {'ok' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - started:.1f} s)", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
