"""What an installation leaves in the environment: `llamad-build.json`.

    fingerprint         of everything that decides what is installed; equal means that there is nothing to do
    key                 the wheel's key in the cache
    accel, isa, amx     what the build can do
    flags               definitions it was built with
    gpu_found, hint     a GPU that this build does not use, and the command that changes it
    llama_cpp_version   of llama-cpp-python
    wishes              what the user asked for, in force until something else is asked for

The daemon reads it (server/build.py) for its start screen and for what to say when native code dies.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

from .choices import Plan, Wishes
from .machine import Machine

NAME: Final = "llamad-build.json"
_FORMAT: Final = 1


def fingerprint(lock: Path, plan: Plan, machine: Machine) -> str:
    """Cheap to compute: one file read, no process started."""
    state = hashlib.sha256()
    state.update(lock.read_bytes() if lock.exists() else b"")
    state.update(json.dumps([_FORMAT, asdict(plan), machine.arch, machine.cpu.digest], sort_keys=True).encode())
    return state.hexdigest()


def read(folder: Path) -> dict[str, object]:
    """The record of an environment; empty when there is none."""
    try:
        record: Any = json.loads((folder / NAME).read_text())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, object]", record) if isinstance(record, dict) else {}


def forget(folder: Path) -> None:
    """Called before anything is changed: an installation that stops half-way is not one."""
    record = read(folder)
    if (record.pop("fingerprint", None), record.pop("key", None)) != (None, None):
        _replace(folder, record)


def write(folder: Path, *, mark: str, key: str, version: str, plan: Plan, wishes: Wishes) -> None:
    record: dict[str, object] = {
        "fingerprint": mark,
        "key": key,
        "accel": plan.accel,
        "isa": plan.isa,
        "amx": plan.amx,
        "flags": [*plan.definitions, *filter(None, [plan.user_args])],
        "gpu_found": plan.gpu_found,
        "hint": plan.hint,
        "llama_cpp_version": version,
        "wishes": asdict(wishes),
    }
    _replace(folder, record)


def _replace(folder: Path, record: dict[str, object]) -> None:
    fresh = folder / f"{NAME}.new"
    fresh.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    os.replace(fresh, folder / NAME)
