"""`python -m benchmarks [build|models|run]`: without a word all three. What it measures: README.md beside this file."""

import argparse
import asyncio
import datetime
import json
import os
import platform
import signal
import sys
from pathlib import Path

from benchmarks import peers
from benchmarks.errors import BenchmarkError
from benchmarks.folders import OUT, ROOT, Folders
from benchmarks.ggufs import model_file
from benchmarks.ledger import Ledger, broken
from benchmarks.processes import usable_cores
from benchmarks.session import SUBJECTS, Session, Wishes
from benchmarks.shapes import LARGE, MINILM, SMALL
from benchmarks.sides import Setting
from benchmarks.table import render
from tools.install import lock, machine


def main() -> int:
    """Status 0; 1 when something failed; with --strict also when a budget is not kept."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like an interrupt, it must not leave servers behind
    folders = Folders(arguments.cache)
    try:
        return _do(arguments, folders)
    except BenchmarkError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    usual = Wishes()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare llamad with llama.cpp.")
    parser.add_argument("step", nargs="?", choices=("all", "build", "models", "run"), default="all")
    parser.add_argument("--source", type=Path, help="sdist of llama-cpp-python or its folder (default: download it)")
    parser.add_argument("--cache", type=Path, help="for programs, models and logs (default: ~/.cache/llamad/bench)")
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--only", action="append", choices=[subject.shape.name for subject in SUBJECTS], help="a model")
    parser.add_argument("--no-embedding", action="store_true")
    parser.add_argument("--idle", type=float, default=usual.idle_seconds, help="seconds to watch the idle daemon")
    parser.add_argument("--strict", action="store_true", help="fail when a budget is not kept")
    return parser


def _do(arguments: argparse.Namespace, folders: Folders) -> int:
    step: str = arguments.step
    if step in ("all", "models"):
        for shape in (SMALL, LARGE, MINILM):
            _say(str(model_file(shape, folders)))
    if step == "models":
        return 0
    programs = peers.build(folders, arguments.source)
    _say(str(programs.folder))
    if step == "build":
        return 0
    chosen: list[str] | None = arguments.only
    wishes = Wishes(
        rounds=max(arguments.rounds, 1),
        subjects=[subject for subject in SUBJECTS if chosen is None or subject.shape.name in chosen],
        embedding=not arguments.no_embedding,
        idle_seconds=max(arguments.idle, 1.0),
    )
    setting = Setting()
    facts = _facts(setting, programs)
    ledger = asyncio.run(Session(programs, folders, setting, _say).run(wishes))
    ledger.facts = {**facts, **ledger.facts}
    print(f"\n{render(ledger)}")
    _say(f"\n{_write(ledger)}")
    return 1 if arguments.strict and broken(ledger.budgets) else 0


def _facts(setting: Setting, programs: peers.Peers) -> dict[str, str]:
    cpu = machine.look().cpu
    return {
        "machine": f"{cpu.model}, {usable_cores()} cores, {platform.system()} {platform.release()}",
        "load average before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "Python": platform.python_version(),
        "llama-cpp-python": lock.read(ROOT / "requirements.lock").version,
        "peers": programs.folder.name,
        "setting": f"{setting.threads} threads, {setting.slots} slots of {setting.slot_tokens} tokens",
    }


def _write(ledger: Ledger) -> Path:
    """The run as a file. It appears whole."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{datetime.datetime.now():%Y%m%d-%H%M%S}.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(ledger.to_json(), indent=2, ensure_ascii=False) + "\n")
    fresh.replace(path)
    return path


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
