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
from typing import Final

from benchmarks import arguments, peers
from benchmarks.errors import BenchmarkError
from benchmarks.folders import OUT, ROOT, Folders
from benchmarks.ggufs import model_file
from benchmarks.ledger import Ledger, broken, missed
from benchmarks.processes import usable_cores
from benchmarks.session import Session
from benchmarks.shapes import LARGE, LARGE_COPY, MINILM, SMALL, SMALL_COPY
from benchmarks.sides import Setting
from benchmarks.table import render
from tools.install import lock, machine

_SHAPES: Final = (SMALL, LARGE, SMALL_COPY, LARGE_COPY, MINILM)


def main() -> int:
    """Status 0; 1 when something failed; with --strict also when a limit or a budget is not kept."""
    given = arguments.parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like an interrupt, it must not leave servers behind
    folders = Folders(given.cache)
    try:
        return _do(given, folders)
    except BenchmarkError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _do(given: argparse.Namespace, folders: Folders) -> int:
    step: str = given.step
    wishes = arguments.wishes(given)
    if step in ("all", "models"):
        for shape in _SHAPES:
            _say(str(model_file(shape, folders)))
    if step == "models":
        return 0
    programs = peers.build(folders, given.source)
    _say(str(programs.folder))
    if step == "build":
        return 0
    setting = Setting(threads=given.threads)
    facts = _facts(setting, programs)
    ledger = asyncio.run(Session(programs, folders, setting, wishes, _say).run())
    ledger.facts = {**facts, **ledger.facts}
    print(f"\n{render(ledger)}")
    _say(f"\n{_write(ledger)}")
    bad = ledger.failures or (given.strict and (broken(ledger.budgets) or missed(ledger)))
    return 1 if bad else 0


def _facts(setting: Setting, programs: peers.Peers) -> dict[str, str]:
    cpu = machine.look().cpu
    return {
        "machine": f"{cpu.model}, {usable_cores()} cores, {platform.system()} {platform.release()}",
        "load average before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "Python": platform.python_version(),
        "llama-cpp-python": lock.read(ROOT / "requirements.lock").version,
        "peers": programs.folder.name,
        "setting": f"{setting.threads} threads, slots of {setting.slot_tokens} tokens, {setting.slots} or fewer",
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
