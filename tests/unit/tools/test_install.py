"""`python -m tools.install` as a program, as far as that goes without installing anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.install import __main__ as program
from tools.install import choices, machine, record

ROOT = Path(__file__).parents[3]


def test_with_everything_in_place_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("llama-cpp-python==0.3.36 --hash=sha256:aa\n")
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    for name in ("ACCEL", "LLAMAD_ISA", "LLAMAD_AMX", "CMAKE_ARGS"):
        monkeypatch.delenv(name, raising=False)
    here = machine.look()
    wishes = choices.Wishes()
    planned = choices.plan(wishes, here, backends=str(program.backends_folder(venv)))
    mark = record.fingerprint(lock, planned, here)
    record.write(venv, mark=mark, key="k", version="0.3.36", plan=planned, wishes=wishes)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    program.install(venv, lock)


def run(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **environ}
    command = [sys.executable, "-m", "tools.install", "--venv", str(tmp_path / "venv"), *arguments]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


def test_an_unknown_accelerator_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = run(tmp_path, ACCEL="quantum")
    assert done.returncode == 1
    assert "ACCEL=quantum: expected one of auto, cpu, cuda" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_compiler_is_told_before_anything_is_made(tmp_path: Path) -> None:
    done = run(tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "there is no C++ compiler" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_lock_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "--lock", str(tmp_path / "none.lock"))
    assert done.returncode == 1
    assert "none.lock: No such file or directory" in done.stderr


def test_an_old_python_is_told_so_in_a_syntax_that_it_reads() -> None:
    source = (ROOT / "tools" / "install" / "__init__.py").read_text()
    compile(source, "__init__.py", "exec", dont_inherit=True, _feature_version=6)
    assert "sys.version_info < (3, 11)" in source
