"""The command line."""

import argparse
import os
from pathlib import Path
from typing import Final

from benchmarks.errors import ProgramMissing
from benchmarks.rows import GROUPS
from benchmarks.rows.stand import SUBJECTS
from benchmarks.session import Wishes
from benchmarks.sides import Setting

_OLLAMA: Final = "LLAMAD_BENCH_OLLAMA"


def parser() -> argparse.ArgumentParser:
    """Its defaults are a whole run."""
    usual = Wishes()
    about = "Compare llamad with llama.cpp and Ollama."
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=about)
    parser.add_argument("step", nargs="?", choices=("all", "build", "models", "run"), default="all")
    parser.add_argument("--source", type=Path, help="sdist of llama-cpp-python or its folder (default: download it)")
    parser.add_argument("--cache", type=Path, help="for programs, models and logs (default: ~/.cache/llamad/bench)")
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--only", action="append", choices=[subject.shape.name for subject in SUBJECTS], help="a model")
    parser.add_argument("--rows", action="append", choices=[group.name for group in GROUPS], help="a group of rows")
    parser.add_argument("--ollama", type=Path, default=os.environ.get(_OLLAMA), help=f"its program (or ${_OLLAMA})")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    parser.add_argument("--threads", type=int, default=Setting().threads, help="of every side")
    parser.add_argument("--idle", type=float, default=usual.idle_seconds, help="seconds to watch the idle daemon")
    parser.add_argument("--strict", action="store_true", help="fail when a limit or a budget is not kept")
    return parser


def wishes(arguments: argparse.Namespace) -> Wishes:
    """What the command line asks for. Raises `ProgramMissing`."""
    models: list[str] | None = arguments.only
    rows: list[str] | None = arguments.rows
    ollama: Path | None = arguments.ollama
    if ollama is not None and not ollama.is_file():
        raise ProgramMissing(ollama)
    return Wishes(
        rounds=1 if arguments.quick else max(arguments.rounds, 1),
        subjects=[subject for subject in SUBJECTS if models is None or subject.shape.name in models],
        groups=[group for group in GROUPS if rows is None or group.name in rows],
        ollama=ollama.resolve() if ollama is not None else None,
        idle_seconds=max(arguments.idle, 1.0),
        quick=arguments.quick,
    )
